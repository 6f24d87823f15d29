/**
 * Scalars as a TensorBoard event file: records of TFRecord framing (length, masked CRC-32C, data, masked CRC-32C), each an Event
 * protocol buffer. Written by hand because no kept package writes them without TensorFlow: four field numbers and a checksum.
 * Sources: tensorflow/core/lib/io/record_writer.h, tensorflow/core/util/event.proto, tensorflow/core/framework/summary.proto.
 */
import { join } from "node:path";
import { z } from "npm:zod@4.6.7";
import { writing } from "../files.ts";
import { readJsonObject } from "../json_objects.ts";

/** One value of a curve. */
export interface Scalar {
  /** Curve, e.g. "update/loss". */
  readonly tag: string;
  readonly step: number;
  readonly value: number;
  /** Seconds since 1970. */
  readonly wall_time: number;
}

/** The name TensorBoard looks for in a folder. */
export function eventFileName(startSeconds: number): string {
  return `events.out.tfevents.${Math.floor(startSeconds)}.circuit-amp`;
}

/** The event file of a run: one name, so that a run made anew takes its place. */
export const curvesFile = eventFileName(0);

const curvesSchema = z.looseObject({
  losses: z.array(z.number()).default([]),
  selected: z.array(z.number()).default([]),
  history: z.array(z.looseObject({
    step: z.int(),
    accuracy: z.number().optional(),
    loss: z.number().nullish(),
  })).default([]),
});

/** Writes the curves of a finished run, from its mask.json and update.json, for TensorBoard. */
export async function writeCurves(folder: string): Promise<void> {
  const read = async (name: string) => curvesSchema.parse(await readJsonObject(join(folder, name)) ?? {});
  const [mask, update] = [await read("mask.json"), await read("update.json")];
  const wall_time = Date.now() / 1000;
  const curve = (
    tag: string,
    points: readonly (readonly [step: number, value: number | null | undefined])[],
  ) => points.flatMap(([step, value]) => typeof value === "number" ? [{ tag, step, value, wall_time }] : []);
  const scalars = [
    ...curve("mask/loss", mask.losses.map((value, i) => [i + 1, value])),
    ...curve("mask/selected", mask.selected.map((value, i) => [i + 1, value])),
    ...curve("update/loss", update.history.map(({ step, loss }) => [step, loss])),
    ...curve("update/validation_accuracy", update.history.map(({ step, accuracy }) => [step, accuracy])),
  ];
  await writing(join(folder, curvesFile), async () => {
    using events = await EventFile.create(folder, 0);
    events.add(scalars);
  });
}

/** Appends scalars to an event file in `directory`; TensorBoard may be reading it meanwhile. */
export class EventFile implements Disposable {
  private constructor(private readonly file: Deno.FsFile) {}

  /** Creates the file, with the version record that readers demand first. */
  static async create(directory: string, startSeconds = Date.now() / 1000): Promise<EventFile> {
    const path = join(directory, eventFileName(startSeconds));
    const events = new EventFile(await Deno.open(path, { create: true, truncate: true, write: true }));
    events.append(record(event({ wall_time: startSeconds, version: "brain.Event:2" })));
    return events;
  }

  /** Appends these scalars. */
  add(scalars: readonly Scalar[]) {
    for (const scalar of scalars) this.append(record(event({ wall_time: scalar.wall_time, scalar })));
  }

  [Symbol.dispose]() {
    this.file.close();
  }

  private append(bytes: Uint8Array) {
    for (let at = 0; at < bytes.length;) at += this.file.writeSync(bytes.subarray(at));
  }
}

const text = (value: string) => new TextEncoder().encode(value);

/** A base-128 varint of a non-negative integer up to 2^53. */
function varint(value: number): Uint8Array {
  const bytes: number[] = [];
  let rest = value;
  while (rest >= 128) {
    bytes.push(rest % 128 + 128);
    rest = Math.floor(rest / 128);
  }
  return Uint8Array.from([...bytes, rest]);
}

function join8(...parts: readonly Uint8Array[]): Uint8Array {
  const joined = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    joined.set(part, at);
    at += part.length;
  }
  return joined;
}

/** A field of wire type 2: a text or a message. */
const field = (number: number, bytes: Uint8Array) =>
  join8(Uint8Array.of(number << 3 | 2), varint(bytes.length), bytes);

function fixed(number: number, value: number, bytes: 4 | 8): Uint8Array {
  const view = new DataView(new ArrayBuffer(bytes));
  if (bytes === 8) view.setFloat64(0, value, true);
  else view.setFloat32(0, value, true);
  return join8(Uint8Array.of(number << 3 | (bytes === 8 ? 1 : 5)), new Uint8Array(view.buffer));
}

/** An Event: wall_time 1, step 2, file_version 3, summary 5 { value 1 { tag 1, simple_value 2 } }. */
function event(
  { wall_time, version, scalar }: { wall_time: number; version?: string; scalar?: Scalar },
): Uint8Array {
  const parts = [fixed(1, wall_time, 8)];
  if (version) parts.push(field(3, text(version)));
  if (scalar) {
    parts.push(join8(Uint8Array.of(2 << 3), varint(scalar.step)));
    parts.push(field(5, field(1, join8(field(1, text(scalar.tag)), fixed(2, scalar.value, 4)))));
  }
  return join8(...parts);
}

function record(data: Uint8Array): Uint8Array {
  const length = new DataView(new ArrayBuffer(8));
  length.setBigUint64(0, BigInt(data.length), true);
  const head = new Uint8Array(length.buffer);
  return join8(head, maskedChecksum(head), data, maskedChecksum(data));
}

function maskedChecksum(bytes: Uint8Array): Uint8Array {
  const crc = crc32c(bytes);
  const view = new DataView(new ArrayBuffer(4));
  view.setUint32(0, ((crc >>> 15 | crc << 17) + 0xa282ead8) >>> 0, true);
  return new Uint8Array(view.buffer);
}

const table = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? crc >>> 1 ^ 0x82f63b78 : crc >>> 1;
  return crc;
});

/** CRC-32C (Castagnoli). */
export function crc32c(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) crc = table[(crc ^ byte) & 255]! ^ crc >>> 8;
  return (crc ^ 0xffffffff) >>> 0;
}
