/** A small parquet file of problems, as bytes. */

// Three rows of question, answer, original_id (64-bit integer) and instance (32-bit integer), written once with
// hyparquet-writer 0.17.0 and compressed with snappy.
const base64 =
  "UEFSMRUGFZoBFWZcFQYVABUGFQAVBBUAAAADB0tkFQAAAEhvdyBtYW55IGFyZSAyIGFuZCAzPxU+GQAANAUZADVGGQAcNiBhbmQgMT8VBhWC" +
  "ARV+XBUGFQAVBhUAFQQVAAAAAwc/iBEAAAAyICsgMyA9IDUuCiMjIyMgNREAAAA0ICsgNSA9IDkuCRUAOQEVQDYgKyAxID0gNy4KIyMjIyA3" +
  "FQYVNBUmXBUGFQAVBhUAFQQVAAAAAwcYBAcACQERCBwIAAAAAAAAABUGFRwVIFwVBhUAFQYVABUEFQAAAAMHDCwAAAAAAQAAAAAAAAAVBBlc" +
  "SARyb290FQgAFQwlAhgIcXVlc3Rpb24lAAAVDCUCGAZhbnN3ZXIlAAAVBCUCGAtvcmlnaW5hbF9pZAAVAiUCGAhpbnN0YW5jZQAWBhkcGUwm" +
  "CBwVDBkVABkYCHF1ZXN0aW9uFQIWBhbGARaSASYIAAAmmgEcFQwZFQAZGAZhbnN3ZXIVAhYGFq4BFqoBJpoBAAAmxAIcFQQZFQAZGAtvcmln" +
  "aW5hbF9pZBUCFgYWXhZQJsQCAAAmlAMcFQIZFQAZGAhpbnN0YW5jZRUCFgYWRhZKJpQDAAAWmAQWBjbWAwAoCWh5cGFycXVldBlMHAAAHAAA" +
  "HAAAHAAAAP4AAABQQVIx";

/** See above. */
export const parquetBytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
