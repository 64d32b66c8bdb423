// Runs a Python program that drives an OpenStack driver on a host of ours, and turns its lines (checks.py) into test points.

import type { Test } from 'tap';
import { once } from 'node:events';
import { copyFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

import type { Host, User } from '../lib/host.js';
import { root } from '../lib/root.js';

const programs = root('test/openstack');

/** The users of a cloud, with the caps that Ceph's own OpenStack guide gives them. */
export const cloudUsers: readonly User[] = [
  { name: 'glance', caps: { mon: 'profile rbd', osd: 'profile rbd pool=images, profile rbd pool=volumes' } },
  { name: 'cinder', caps: { mon: 'profile rbd', osd: 'profile rbd pool=volumes, profile rbd pool=vms, profile rbd pool=images, profile rbd pool=other' } },
  { name: 'cinder-backup', caps: { mon: 'profile rbd', osd: 'profile rbd pool=backups' } },
  { name: 'nova', caps: { mon: 'profile rbd', osd: 'profile rbd pool=vms, profile rbd pool=volumes, profile rbd-read-only pool=images' } },
];
export const cloudPools = ['images', 'volumes', 'vms', 'backups', 'other'] as const;

/** Runs test/openstack/NAME.py there. Each line of it is a test point; it must end in order. */
export async function driverTest(t: Test, host: Host, name: string, environment: NodeJS.ProcessEnv = {}): Promise<void> {
  for (const file of readdirSync(programs).filter((file) => file.endsWith('.py'))) copyFileSync(join(programs, file), host.own(file));
  const child = host.spawn('/usr/bin/python3', [`/node/${name}.py`], {
    // What Python compiles is kept from one run to the next: OpenStack is a lot of it.
    environment: { PYTHONPYCACHEPREFIX: root('build/trees/pycache'), TEST_BACKEND: host.storage ? 'curvebs' : 'local', ...environment }, stdio: ['ignore', 'pipe', 'pipe'],
  });
  let said = '';
  child.stderr?.on('data', (text: Buffer) => { said = (said + text.toString()).slice(-8000); });
  const ended = once(child, 'close');
  let points = 0;
  for await (const line of createInterface({ input: child.stdout! })) {
    if (!line.startsWith('{"ok"')) continue;
    const point = JSON.parse(line) as { ok: boolean; says: string; saw: string };
    t.ok(point.ok, point.says, { saw: point.saw });
    points++;
  }
  const [code] = await ended as [number | null];
  t.equal(code, 0, `${name} runs to its end`, { said });
  t.ok(points > 0, 'and checks something');
}
