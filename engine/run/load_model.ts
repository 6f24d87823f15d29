/** Loading the model that settings name, with its download shown as progress. */
import type { Gpu } from "../gpu/gpu.ts";
import type { DownloadProgress } from "../checkpoint/hub.ts";
import { Model } from "../model/model.ts";
import type { ModelSettings } from "./settings/model.ts";
import type { Progress } from "../progress.ts";
import type { StartOptions } from "./start_options.ts";

/** Loads a model as settings say. Throws InputError like Model.load. */
export async function loadModel(
  gpu: Gpu,
  { source, revision, storage, cacheMemory, ignoreTensors }: ModelSettings,
  options: Pick<StartOptions, "offline" | "progress" | "notice"> = {},
): Promise<Model> {
  const onDownload = options.progress && downloadProgress(options.progress);
  return await Model.load(gpu, source, {
    storage,
    revision,
    offline: options.offline,
    onDownload,
    ...(ignoreTensors && { ignoreTensors }),
    onUnused: ([first, ...more]) =>
      options.notice?.(
        more.length > 0
          ? `Tensor "${first}" and ${more.length} more of the checkpoint are not used.`
          : `Tensor "${first}" of the checkpoint is not used.`,
      ),
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
