import { assertAlmostEquals, assertEquals } from "@std/assert";
import { join } from "node:path";
import { crc32c, EventFile, eventFileName } from "../../engine/run/tensorboard.ts";

Deno.test("the checksum is CRC-32C", () => {
  // Check value of the Castagnoli polynomial, and RFC 3720's 32 bytes of zeros.
  assertEquals(crc32c(new TextEncoder().encode("123456789")), 0xe3069283);
  assertEquals(crc32c(new Uint8Array(32)), 0x8a9136aa);
});

Deno.test("an event file holds a version, then one event a scalar, each with both checksums", async () => {
  const folder = await Deno.makeTempDir();
  try {
    {
      using events = await EventFile.create(folder, 1_700_000_000);
      events.add([{ tag: "update/loss", step: 300, value: 0.5, wall_time: 1_700_000_001.25 }]);
    }
    const bytes = await Deno.readFile(join(folder, eventFileName(1_700_000_000)));
    const view = new DataView(bytes.buffer);
    const records: Uint8Array[] = [];
    for (let at = 0; at < bytes.length;) {
      const length = Number(view.getBigUint64(at, true));
      const unmask = (where: number) => {
        const rotated = (view.getUint32(where, true) - 0xa282ead8) >>> 0;
        return (rotated << 15 | rotated >>> 17) >>> 0;
      };
      assertEquals(unmask(at + 8), crc32c(bytes.subarray(at, at + 8)));
      const data = bytes.slice(at + 12, at + 12 + length);
      assertEquals(unmask(at + 12 + length), crc32c(data));
      records.push(data);
      at += 16 + length;
    }
    assertEquals(records.length, 2);
    assertEquals(new TextDecoder().decode(records[0]!.subarray(11)), "brain.Event:2");
    const event = new DataView(records[1]!.buffer);
    assertEquals(event.getFloat64(1, true), 1_700_000_001.25);
    assertEquals([...records[1]!.subarray(9, 12)], [0x10, 0xac, 0x02]); // step 300 as a varint
    assertEquals(new TextDecoder().decode(records[1]!.subarray(18, 29)), "update/loss");
    assertAlmostEquals(event.getFloat32(records[1]!.length - 4, true), 0.5);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
