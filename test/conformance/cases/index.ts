// Every case, by area. An area's expectations stand in expected/AREA.json.
import type { Case } from '../context.js';
import { advisoryLocks } from './advisory-locks.js';
import { automaticLock } from './automatic-lock.js';
import { badInput } from './bad-input.js';
import { clones } from './clones.js';
import { create } from './create.js';
import { deepCopy } from './deep-copy.js';
import { events } from './events.js';
import { further } from './further.js';
import { io } from './io.js';
import { managedLock } from './managed-lock.js';
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
import { watching } from './watching.js';

export const areas: Record<string, Case[]> = {
  create, open, resize, io, metadata,
  locks: [...advisoryLocks, ...automaticLock, ...managedLock, ...watching],
  spaces: spacesCases,
  snapshots: [...snapshots, ...clones],
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
