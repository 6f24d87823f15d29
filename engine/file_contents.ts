/** What a file really is whose contents are not what its name says: mishaps of downloads and of version control. */

/** What a file is, to follow "is", and what to do about it. */
export interface Mistaken {
  readonly is: string;
  readonly remedy: string;
}

const again = "download it again";
const html: Mistaken = {
  is: "a web page, as sites answer with when a download needs a login or a licence to be accepted",
  remedy: "log in or accept it there and download it again",
};
const packed = (how: string): Mistaken => ({ is: `a ${how} archive`, remedy: "unpack it first" });

/** By the text a file begins with, in lower case and without leading blanks. */
const texts: readonly [RegExp, Mistaken][] = [
  [/^version https:\/\/(git-lfs|hawser)\.github\.com\/spec\//, {
    is: "a Git LFS pointer, which stands for the contents in a clone without Git LFS",
    remedy: 'run "git lfs pull" there or download it again',
  }],
  [/^# xet version|^hash = ".*"\s*filesize = /, {
    is: "a Xet pointer, which stands for the contents in a clone without git-xet",
    remedy: again,
  }],
  [/^(\.\.\/)*\.git\/annex\/objects\/|^\/annex\/objects\//, {
    is: "a git-annex pointer, which stands for the contents",
    remedy: 'run "git annex get" there or download it again',
  }],
  [/^<(!doctype html|html|head|body|!--)/, html],
  [/^<\?xml/, {
    is: "an XML text, as storage services answer with when they refuse a download",
    remedy: again,
  }],
  [
    /^(entry not found|not found|repository not found|access to model|invalid (username|credentials))|^\{"error"/,
    {
      is: "an error message of the site it was to come from",
      remedy: "check the name and your access and download it again",
    },
  ],
];

/** By the bytes a file begins with, in hexadecimal. */
const magics: readonly [string, Mistaken][] = [
  ["1f8b", packed("gzip")],
  ["504b0304", {
    is: "a ZIP archive, as PyTorch's pickled weights are",
    remedy: "unpack it or convert the weights to safetensors",
  }],
  ["28b52ffd", packed("Zstandard")],
  ["fd377a585a00", packed("xz")],
  ["425a68", packed("bzip2")],
  ["47475546", { is: "a GGUF file", remedy: "get the model in safetensors" }],
  ["894844460d0a1a0a", { is: "an HDF5 file", remedy: "get the model in safetensors" }],
  ["8002", { is: "a Python pickle", remedy: "convert the weights to safetensors" }],
  ["8004", { is: "a Python pickle", remedy: "convert the weights to safetensors" }],
];

/**
 * What a file is that begins with these bytes (a few hundred do), if it is one of the things that are found in place of
 * others. Only to be asked once the file turned out not to be what was wanted: a good one may begin so by chance.
 */
export function mistakenContents(head: Uint8Array): Mistaken | undefined {
  const hex = head.subarray(0, 8).toHex();
  const magic = magics.find(([start]) => hex.startsWith(start));
  if (magic) return magic[1];
  if (head.length >= 64 && head.every((byte) => byte === 0)) {
    return { is: "nothing but zeros, as downloads leave that broke off", remedy: again };
  }
  const text = new TextDecoder().decode(head).replace(/^[\s\ufeff]+/, "").toLowerCase();
  return texts.find(([start]) => start.test(text))?.[1];
}
