/** Vulkan's loader complains on stderr when XDG_RUNTIME_DIR is unset on Linux; any folder satisfies it. For commands only. */
if (Deno.build.os === "linux" && !Deno.env.get("XDG_RUNTIME_DIR")) Deno.env.set("XDG_RUNTIME_DIR", "/tmp");
