// Every case, by area. An area's expectations stand in expected/AREA.json.
import type { Case } from '../context.js';
import { badInput } from './bad-input.js';
import { create } from './create.js';
import { deepCopy } from './deep-copy.js';
import { events } from './events.js';
import { further } from './further.js';
import { io } from './io.js';
import { locks } from './locks.js';
import { metadata } from './metadata.js';
import { open } from './open.js';
import { radosCommands } from './rados-commands.js';
import { radosConfig } from './rados-config.js';
import { radosObjects } from './rados-objects.js';
import { radosOperations } from './rados-operations.js';
import { radosPools } from './rados-pools.js';
import { radosWatches } from './rados-watches.js';
import { refused } from './refused.js';
import { resize } from './resize.js';
import { snapshots } from './snapshots.js';
import { spacesCases } from './spaces.js';

export const areas: Record<string, Case[]> = {
  create, open, resize, io, metadata, locks, spaces: spacesCases, snapshots,
  'deep-copy': deepCopy,
  'bad-input': badInput,
  refused,
  events,
  'rados-config': radosConfig,
  'rados-pools': radosPools,
  'rados-commands': radosCommands,
  'rados-objects': radosObjects,
  'rados-operations': radosOperations,
  'rados-watches': radosWatches,
  further,
};

export const cases: Case[] = Object.values(areas).flat();
