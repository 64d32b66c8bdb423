// Starts a client process that has an image open, so that it can be killed.
import { spawn, type ChildProcess } from 'node:child_process';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Resolves when the process has the image open and locked (and with 'own', owns its head). */
export async function hold(socket: string, image: string, own?: 'own'): Promise<ChildProcess> {
  const script = join(dirname(fileURLToPath(import.meta.url)), 'holder.js');
  const child = spawn(process.execPath, [script, socket, image, ...(own ? [own] : [])], { stdio: ['ignore', 'pipe', 'inherit'] });
  await new Promise<void>((resolve, reject) => {
    child.stdout?.on('data', (text: Buffer) => { if (text.includes('ready')) resolve(); });
    child.once('exit', (code) => reject(new Error(`holder ended with ${code}`)));
  });
  return child;
}
