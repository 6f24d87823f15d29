/** How long stages report. */

/** Called with what is going on, how much of it is done and of how much; `total` is 0 where the end is not known. */
export type Progress = (stage: string, done: number, total: number, note?: string) => void;
