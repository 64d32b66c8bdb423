// Where the project's folder is, seen from the compiled tests in dist/.
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

function findRoot(): string {
  let dir = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(dir, 'package.json'))) dir = dirname(dir);
  return dir;
}

const found = findRoot();

/** The absolute path of a file of the project. */
export function root(...path: string[]): string {
  return join(found, ...path);
}
