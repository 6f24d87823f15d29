/** Loading the model that settings name, with its download shown as progress. */
import type { Gpu } from "../gpu/gpu.ts";
import type { DownloadProgress } from "../checkpoint/hub.ts";
import { Model } from "../model/model.ts";
import type { ModelSettings } from "./settings/model.ts";
import type { Progress } from "../progress.ts";

/** Loads a model as settings say. Throws InputError like Model.load. */
export async function loadModel(
  gpu: Gpu,
  { source, revision, storage, cacheMemory }: ModelSettings,
  options: { readonly offline?: boolean; readonly progress?: Progress } = {},
): Promise<Model> {
  const onDownload = options.progress && downloadProgress(options.progress);
  return await Model.load(gpu, source, {
    storage,
    revision,
    offline: options.offline,
    onDownload,
    tune: false, // whoever loads a model by settings chooses kernels by settings, too
    ...(cacheMemory > 0 && { cacheBytes: cacheMemory * 2 ** 30 }),
  });
}

/** Shows a download in whole MiB, the last of which only counts once everything is there. */
export function downloadProgress(progress: Progress): DownloadProgress {
  const mebibyte = 2 ** 20;
  return (done, total, file) => {
    const all = Math.ceil(total / mebibyte);
    progress("download (MiB)", done < total ? Math.floor(done / mebibyte) : all, all, file);
  };
}
