/** What a training leaves so that an interrupted one goes on with the same bits. */

/** A training between two steps. */
export interface TrainingSnapshot {
  /** What the host knows, as JSON: steps done and what they gave. */
  readonly facts: unknown;
  /** What the GPU holds and the host would need again, in an order that the training knows. */
  readonly tensors: readonly Float32Array<ArrayBuffer>[];
}

/** Where the snapshot of one training is kept. */
export interface TrainingStore {
  /** The last snapshot that was kept; undefined where there is none, or none that is whole. */
  load(): Promise<TrainingSnapshot | undefined>;
  /** Called between steps: keeps a snapshot of so many bytes, made by `take`, if it is time for one. */
  offer(bytes: number, take: () => Promise<TrainingSnapshot>): Promise<void>;
}
