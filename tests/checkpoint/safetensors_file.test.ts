import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { join } from "node:path";
import { InputError } from "../../engine/errors.ts";
import {
  readTensors,
  SafetensorsFile,
  widenToFloat32,
  writeSafetensors,
} from "../../engine/checkpoint/safetensors_file.ts";

const golden = new URL("../../fixtures/golden/", import.meta.url).pathname;

/** Runs `test` in a folder that is removed afterwards. */
async function inTempDir(test: (dir: string) => Promise<void>): Promise<void> {
  const dir = await Deno.makeTempDir();
  try {
    await test(dir);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

async function assertRefused(action: () => Promise<unknown>, message: string): Promise<void> {
  const error = await assertRejects(action, InputError);
  assertEquals(error.message, message);
  assertMatch(error.message, /^[A-Z].*\.$/);
  assert(!/[.!?]\s/.test(error.message), "The message is one sentence");
}

/** A safetensors file with any header, right or wrong, and `dataBytes` zero bytes of data. */
async function writeRaw(path: string, header: unknown, dataBytes: number): Promise<void> {
  const json = new TextEncoder().encode(typeof header === "string" ? header : JSON.stringify(header));
  const bytes = new Uint8Array(8 + json.length + dataBytes);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(json.length), true);
  bytes.set(json, 8);
  await Deno.writeFile(path, bytes);
}

const float32 = (...values: number[]) => new Float32Array(values);
const bitsAsFloat32 = (dtype: "F16" | "BF16", ...bits: number[]) =>
  widenToFloat32(new Uint8Array(new Uint16Array(bits).buffer), dtype);

Deno.test("F16 widens to float32 exactly, subnormals and signed zeros included", () => {
  assertEquals(
    bitsAsFloat32("F16", 0x3c00, 0xc000, 0x3555, 0x7bff, 0x0400, 0x03ff, 0x0001, 0x8001, 0x0000, 0x8000),
    float32(1, -2, 1365 / 4096, 65504, 2 ** -14, 1023 * 2 ** -24, 2 ** -24, -(2 ** -24), 0, -0),
  );
  assertEquals(bitsAsFloat32("F16", 0x7c00, 0xfc00, 0x7e00), float32(Infinity, -Infinity, NaN));
});

Deno.test("BF16 widens to float32 exactly, subnormals and signed zeros included", () => {
  assertEquals(
    bitsAsFloat32("BF16", 0x3f80, 0xc000, 0x4049, 0x7f7f, 0x0080, 0x0001, 0x0000, 0x8000),
    float32(1, -2, 3.140625, 255 * 2 ** 120, 2 ** -126, 2 ** -133, 0, -0),
  );
  assertEquals(bitsAsFloat32("BF16", 0x7f80, 0xff80, 0x7fc0), float32(Infinity, -Infinity, NaN));
});

Deno.test("every F16 and BF16 bit pattern widens to the value that its fields spell out", () => {
  const bits = Uint16Array.from({ length: 1 << 16 }, (_, i) => i);
  for (const [dtype, exponentBits] of [["F16", 5], ["BF16", 8]] as const) {
    const widened = bitsAsFloat32(dtype, ...bits);
    const mantissaBits = 15 - exponentBits;
    const top = (1 << exponentBits) - 1;
    const bias = top >> 1;
    for (const word of bits) {
      const exponent = (word >> mantissaBits) & top;
      const fraction = (word & ((1 << mantissaBits) - 1)) / (1 << mantissaBits);
      const size = exponent === top
        ? (fraction ? NaN : Infinity)
        : exponent
        ? (1 + fraction) * 2 ** (exponent - bias)
        : fraction * 2 ** (1 - bias);
      assert(Object.is(widened[word], word & 0x8000 ? -size : size), `${dtype} ${word.toString(16)}`);
    }
  }
});

Deno.test("what is written is read back, in the order given", () =>
  inTempDir(async (dir) => {
    const path = join(dir, "round-trip.safetensors");
    const floats = float32(1.5, -0, NaN, Infinity, 1e-45, 3);
    await writeSafetensors(path, {
      zebra: { dtype: "F32", shape: [2, 3], data: floats },
      ape: { dtype: "I32", shape: [2], data: new Int32Array([-7, 2147483647]) },
      half: { dtype: "F16", shape: [1], data: new Uint16Array([0x3c00]) },
      brain: { dtype: "BF16", shape: [1, 1], data: new Uint16Array([0xc000]) },
      scalar: { dtype: "F32", shape: [], data: float32(4) },
      empty: { dtype: "F32", shape: [0, 5], data: float32() },
    }, { note: "größer" });

    const tensors = await readTensors(path);
    assertEquals([...tensors.keys()], ["zebra", "ape", "half", "brain", "scalar", "empty"]);
    assertEquals(tensors.get("zebra"), { dtype: "F32", shape: [2, 3], data: floats });
    assertEquals(tensors.get("ape"), { dtype: "I32", shape: [2], data: new Int32Array([-7, 2147483647]) });
    assertEquals(tensors.get("half"), { dtype: "F16", shape: [1], data: float32(1) });
    assertEquals(tensors.get("brain"), { dtype: "BF16", shape: [1, 1], data: float32(-2) });
    assertEquals(tensors.get("scalar"), { dtype: "F32", shape: [], data: float32(4) });
    assertEquals(tensors.get("empty"), { dtype: "F32", shape: [0, 5], data: float32() });
    using file = await SafetensorsFile.open(path);
    assertEquals(file.metadata, { note: "größer" });
  }));

Deno.test("a written file has the standard layout and leaves no temporary file behind", () =>
  inTempDir(async (dir) => {
    const path = join(dir, "layout.safetensors");
    // A view into a larger array: only its own elements may be written.
    const data = float32(9, 1, 2, 9).subarray(1, 3);
    await writeSafetensors(path, { a: { dtype: "F32", shape: [2], data } });
    const bytes = await Deno.readFile(path);
    const length = Number(new DataView(bytes.buffer).getBigUint64(0, true));
    assertEquals(length % 8, 0);
    assertEquals(
      new TextDecoder().decode(bytes.subarray(8, 8 + length)).trimEnd(),
      '{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}',
    );
    assertEquals(new Float32Array(bytes.slice(8 + length).buffer), float32(1, 2));
    assertEquals((await Array.fromAsync(Deno.readDir(dir))).map((entry) => entry.name), [
      "layout.safetensors",
    ]);
  }));

Deno.test("writing replaces an older file, and the same tensors give the same bytes", () =>
  inTempDir(async (dir) => {
    const path = join(dir, "again.safetensors");
    await Deno.writeTextFile(path, "old");
    const tensors = { a: { dtype: "F32", shape: [1], data: float32(1) } } as const;
    await writeSafetensors(path, tensors);
    const first = await Deno.readFile(path);
    await writeSafetensors(path, tensors);
    assertEquals(await Deno.readFile(path), first);
  }));

Deno.test("a failed write leaves nothing behind", () =>
  inTempDir(async (dir) => {
    const path = join(dir, "taken");
    await Deno.mkdir(join(path, "full"), { recursive: true });
    await assertRejects(() => writeSafetensors(path, { a: { dtype: "F32", shape: [1], data: float32(1) } }));
    assertEquals((await Array.fromAsync(Deno.readDir(dir))).map((entry) => entry.name), ["taken"]);
  }));

Deno.test("data that does not fit its type or shape is not written", () =>
  inTempDir(async (dir) => {
    const path = join(dir, "unfit.safetensors");
    await assertRejects(
      () => writeSafetensors(path, { a: { dtype: "F32", shape: [3], data: float32(1, 2) } }),
      RangeError,
      'Tensor "a" has data that is not F32 of shape [3]',
    );
    await assertRejects(
      () => writeSafetensors(path, { a: { dtype: "F32", shape: [2], data: new Int32Array(2) } }),
      RangeError,
      'Tensor "a" has data that is not F32 of shape [2]',
    );
  }));

Deno.test("part of a tensor is read as the bytes of just those elements", async () => {
  const path = join(golden, "llama-tiny/model.safetensors");
  const whole = (await readTensors(path)).get("model.embed_tokens.weight")!;
  using file = await SafetensorsFile.open(path);
  const info = file.tensors.get("model.embed_tokens.weight")!;
  assertEquals(info.shape, [64, 32]);
  assertEquals(info.byteEnd - info.byteStart, 64 * 32 * 4);
  const bytes = await file.read(info, 40, 7);
  assertEquals(bytes.length, 28);
  assertEquals(new Float32Array(bytes.buffer), whole.data.slice(40, 47));
});

Deno.test("reads that overlap in time do not disturb each other", async () => {
  const path = join(golden, "llama-tiny/model.safetensors");
  const whole = (await readTensors(path)).get("model.embed_tokens.weight")!;
  using file = await SafetensorsFile.open(path);
  const info = file.tensors.get("model.embed_tokens.weight")!;
  const rows = await Promise.all(Array.from({ length: 64 }, (_, row) => file.read(info, row * 32, 32)));
  rows.forEach((row, i) =>
    assertEquals(new Float32Array(row.buffer), whole.data.slice(i * 32, (i + 1) * 32))
  );
});

Deno.test("elements outside of a tensor cannot be read", async () => {
  using file = await SafetensorsFile.open(join(golden, "llama-tiny/model.safetensors"));
  const info = file.tensors.get("model.embed_tokens.weight")!;
  await assertRejects(() => file.read(info, 64 * 32 - 1, 2), RangeError);
  await assertRejects(() => file.read(info, -1, 2), RangeError);
});

Deno.test("a file cut short after it was opened is refused, and later reads still work", () =>
  inTempDir(async (dir) => {
    const path = join(dir, "shrinking.safetensors");
    await writeSafetensors(path, { a: { dtype: "F32", shape: [4], data: float32(1, 2, 3, 4) } });
    using file = await SafetensorsFile.open(path);
    const info = file.tensors.get("a")!;
    await Deno.truncate(path, info.byteEnd - 4);
    await assertRefused(
      () => file.read(info, 0, 4),
      `File "${path}" was cut short while it was being read; download it again.`,
    );
    assertEquals((await file.read(info, 0, 3)).length, 12);
  }));

Deno.test("a missing file is refused", () =>
  inTempDir((dir) =>
    assertRefused(
      () => SafetensorsFile.open(join(dir, "none.safetensors")),
      `File "${dir}/none.safetensors" does not exist; pass the path of a safetensors file.`,
    )
  ));

Deno.test("a folder in the place of a file is refused", () =>
  inTempDir((dir) =>
    assertRefused(
      () => SafetensorsFile.open(dir),
      `Path "${dir}" is not a file; pass the path of a safetensors file.`,
    )
  ));

Deno.test("a file too short for a header length is refused", () =>
  inTempDir(async (dir) => {
    const path = join(dir, "short.safetensors");
    await Deno.writeFile(path, new Uint8Array(7));
    await assertRefused(
      () => SafetensorsFile.open(path),
      `File "${path}" is only 7 bytes long, too short for a safetensors file; download it again.`,
    );
  }));

Deno.test("a header longer than the file is refused", () =>
  inTempDir(async (dir) => {
    const path = join(dir, "cut.safetensors");
    await Deno.writeFile(path, new Uint8Array(20).fill(13, 0, 1));
    await assertRefused(
      () => SafetensorsFile.open(path),
      `File "${path}" announces a header of 13 bytes but is only 20 bytes long, ` +
        "so it is truncated or no safetensors file; download it again.",
    );
  }));

const entry = { dtype: "F32", shape: [2, 3], data_offsets: [0, 24] };
const wrongHeader =
  'File "PATH" has a header that is not safetensors JSON, so it is damaged or of another format; ' +
  "download it again.";
const wrongType = 'Tensor "a" in file "PATH" is stored as I64, ' +
  "but only F32, F16 and BF16 can be used here; convert it to one of them.";
const damaged: { what: string; header: unknown; dataBytes?: number; message: string }[] = [
  { what: "a header that is not JSON", header: "{oops}", message: wrongHeader },
  { what: "an empty header", header: "", message: wrongHeader },
  { what: "a header that is a list", header: [], message: wrongHeader },
  { what: "metadata other than text", header: { __metadata__: { step: 3 } }, message: wrongHeader },
  { what: "a type not read", header: { a: { ...entry, dtype: "I64", shape: [3] } }, message: wrongType },
  {
    what: "an entry that is no object",
    header: { a: 5 },
    message: 'Tensor "a" in file "PATH" has 5 for an entry; download it again.',
  },
  {
    what: "a type that is no text",
    header: { a: { ...entry, dtype: 31 } },
    message: 'Tensor "a" in file "PATH" has 31 for its dtype; download it again.',
  },
  {
    what: "an unknown type that is needed",
    header: { a: { ...entry, dtype: "F31" } },
    message: wrongType.replace("I64", "F31"),
  },
  {
    what: "a type of less than a byte that is needed",
    header: { a: { ...entry, dtype: "F4", shape: [48] } },
    message: wrongType.replace("I64", "F4"),
  },
  {
    what: "an unknown type whose data end before they begin",
    header: { a: { ...entry, dtype: "F31", data_offsets: [24, 0] } },
    message: 'Tensor "a" in file "PATH" ends 24 bytes before it begins; download it again.',
  },
  {
    what: "a tensor named twice",
    header: `{"a":${JSON.stringify(entry)},"b":${JSON.stringify(entry)},"\\u0061":${JSON.stringify(entry)}}`,
    message: 'File "PATH" names "a" twice in its header, so nobody can tell which is meant; ' +
      "download it again or write it anew.",
  },
  {
    what: "a tensor inside of another",
    header: { a: entry, b: { ...entry, shape: [1], data_offsets: [8, 12] } },
    message: 'Tensor "b" in file "PATH" begins inside of tensor "a"; download it again or write it anew.',
  },
  {
    what: "two names for the same bytes",
    header: { a: entry, b: entry },
    message: 'Tensor "b" in file "PATH" begins inside of tensor "a"; download it again or write it anew.',
  },
  {
    what: "a gap between tensors",
    header: {
      b: { ...entry, shape: [1], data_offsets: [8, 12] },
      a: { ...entry, shape: [1], data_offsets: [0, 4] },
    },
    dataBytes: 12,
    message: 'Tensor "b" in file "PATH" leaves 4 bytes before it that belong to no tensor; ' +
      "download it again or write it anew.",
  },
  {
    what: "bytes after the last tensor",
    header: { a: entry },
    dataBytes: 27,
    message: 'File "PATH" has 3 bytes after its last tensor that belong to none; download it again.',
  },
  {
    what: "an entry with a negative size",
    header: { a: { ...entry, shape: [2, -3] } },
    message: 'Tensor "a" in file "PATH" has [2,-3] for its shape; download it again.',
  },
  {
    what: "an entry without offsets",
    header: { a: { ...entry, data_offsets: undefined } },
    message: 'Tensor "a" in file "PATH" has nothing for its data_offsets; download it again.',
  },
  {
    what: "a truncated file",
    header: { a: entry },
    dataBytes: 20,
    message: 'Tensor "a" in file "PATH" ends at byte 89 but the file has only 85, so it is truncated; ' +
      "download it again.",
  },
  {
    what: "offsets that do not fit the shape",
    header: { a: { ...entry, shape: [2, 2] } },
    message:
      'Tensor "a" in file "PATH" spans 24 bytes where shape [2, 2] of F32 needs 16; download it again.',
  },
  {
    what: "offsets that run backwards",
    header: { a: { ...entry, data_offsets: [24, 0] } },
    message:
      'Tensor "a" in file "PATH" spans -24 bytes where shape [2, 3] of F32 needs 24; download it again.',
  },
];

for (const { what, header, dataBytes, message } of damaged) {
  Deno.test(`${what} is refused in one sentence`, () =>
    inTempDir(async (dir) => {
      const path = join(dir, "damaged.safetensors");
      await writeRaw(path, header, dataBytes ?? 24);
      await assertRefused(() => readTensors(path), message.replace("PATH", path));
    }));
}

Deno.test("a tensor of a type nobody knows does not keep one from reading the others", () =>
  inTempDir(async (dir) => {
    const path = join(dir, "newer.safetensors");
    const b = { dtype: "F32", shape: [2], data_offsets: [5, 13] };
    await writeRaw(path, { a: { dtype: "X5", shape: [10], data_offsets: [0, 5] }, b }, 13);
    using file = await SafetensorsFile.open(path);
    assertEquals([...file.tensors.keys()], ["a", "b"]);
    assertEquals((await file.read(file.tensors.get("b")!, 0, 2)).length, 8);
  }));

const pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 123456\n";
const archive = new Uint8Array([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 1, 2, 3]);
/** What stands in place of weights, what the message says it is, and what to do. */
const mistaken: [string | Uint8Array<ArrayBuffer>, string, string][] = [
  [
    pointer,
    "a Git LFS pointer, which stands for the contents in a clone without Git LFS",
    'run "git lfs pull" there or download it again',
  ],
  [
    "\n <!DOCTYPE html><html></html>",
    "a web page, as sites answer with when a download needs a login or a licence to be accepted",
    "log in or accept it there and download it again",
  ],
  [
    '<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>',
    "an XML text, as storage services answer with when they refuse a download",
    "download it again",
  ],
  [
    "Entry not found",
    "an error message of the site it was to come from",
    "check the name and your access and download it again",
  ],
  [archive, "a gzip archive", "unpack it first"],
  ["GGUF\x03\0\0\0\0\0", "a GGUF file", "get the model in safetensors"],
  [
    "PK\x03\x04archive/data.pkl",
    "a ZIP archive, as PyTorch's pickled weights are",
    "unpack it or convert the weights to safetensors",
  ],
  [new Uint8Array(100), "nothing but zeros, as downloads leave that broke off", "download it again"],
];

for (const [contents, is, remedy] of mistaken) {
  Deno.test(`${is.split(",")[0]} in place of weights is refused as what it is`, () =>
    inTempDir(async (dir) => {
      const path = join(dir, "model.safetensors");
      await Deno.writeFile(path, await new Blob([contents]).bytes());
      await assertRefused(
        () => SafetensorsFile.open(path),
        `File "${path}" is ${is}, where safetensors are needed; ${remedy}.`,
      );
    }));
}

Deno.test("a good file may begin like an archive", () =>
  inTempDir(async (dir) => {
    const path = join(dir, "chance.safetensors");
    const header = JSON.stringify({ a: entry }).padEnd(0x8b1f);
    const head = new Uint8Array(8);
    new DataView(head.buffer).setBigUint64(0, BigInt(header.length), true);
    await Deno.writeFile(path, await new Blob([head, header, new Uint8Array(24)]).bytes());
    assertEquals(head.subarray(0, 2), archive.subarray(0, 2));
    using file = await SafetensorsFile.open(path);
    assertEquals(file.tensors.size, 1);
  }));

Deno.test("an empty file is refused as such", () =>
  inTempDir(async (dir) => {
    const path = join(dir, "model.safetensors");
    await Deno.writeFile(path, new Uint8Array());
    await assertRefused(() => SafetensorsFile.open(path), `File "${path}" is empty; download it again.`);
  }));
