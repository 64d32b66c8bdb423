// Writing what is generated.
import {mkdirSync, readFileSync, writeFileSync} from 'node:fs';
import {dirname} from 'node:path';

/** Leaves a file alone whose text stays the same, so that nothing is built again for it. Makes its folder. */
export function writeChanged(path: string, text: string): void {
  try {
    if (readFileSync(path, 'utf8') === text) return;
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ENOENT')) throw error;
  }
  mkdirSync(dirname(path), {recursive: true});
  writeFileSync(path, text);
}
