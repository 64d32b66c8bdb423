// `cbd2rbd snap ...`: what a backend can do with snapshots beyond RBD.
import {UsageError, type Command, type Invocation} from '../command.js';

interface Spec {
  readonly pool: string;
  readonly namespace: string;
  readonly image: string;
  readonly snap: string;
}

/** POOL/[NAMESPACE/]IMAGE@SNAP. */
function specOf(text: string, command: Command): Spec {
  const match = /^([^/@]+)\/(?:([^/@]+)\/)?([^/@]+)@([^@]+)$/.exec(text);
  if (!match) throw new UsageError(`${JSON.stringify(text)} is no snapshot: POOL/[NAMESPACE/]IMAGE@SNAP`, command);
  const [, pool = '', namespace = '', image = '', snap = ''] = match;
  return {pool, namespace, image, snap};
}

async function runArchive(invocation: Invocation): Promise<number> {
  const {pool, namespace, image, snap} = specOf(invocation.args[0] ?? '', invocation.command);
  const daemon = await invocation.daemon();
  const {id} = await daemon.call('pool.lookup', {name: pool}) as {id: number};
  let last = -1;
  const onProgress = (done: number): void => {
    if (done === last || invocation.switches.has('no-progress')) return;
    last = done;
    invocation.note(`archiving: ${done}% complete\n`);
  };
  const made = await daemon.call('snap.archive', {at: {pool: id, namespace}, image, snap}, onProgress) as {id: string, bytes: number};
  invocation.print(made, ({id}) => [id]);
  return 0;
}

const archive: Command = {
  name: 'snap archive',
  usage: 'POOL/[NAMESPACE/]IMAGE@SNAP',
  takes: {least: 1, most: 1},
  summary: 'Have CurveBS keep a snapshot in its object store, and print its id there',
  details: [
    'The image and its users are left alone. CurveBS\'s own tools clone from the id that is printed; a volume made so is as large as the',
    'image\'s volume, which is rounded up to whole GiB. A snapshot of an image with snapshots or a parent is copied into a volume first.',
  ],
  options: {'no-progress': {help: 'say nothing while it goes on'}},
  examples: ['cbd2rbd snap archive volumes/disk@monday'],
  run: runArchive,
};

export const snapCommands: readonly Command[] = [archive];
