// Modules of npm's in the folder where a script is run.

import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";

// A script elsewhere finds no modules here by itself.
export function load(name) {
  const folder = resolve("node_modules", name);
  const described = JSON.parse(readFileSync(resolve(folder, "package.json"), "utf8"));
  let entry = described.exports?.["."] ?? described.exports ?? described.module ?? described.main;
  while (typeof entry === "object") entry = entry.import ?? entry.default;
  return import(pathToFileURL(resolve(folder, entry)));
}
