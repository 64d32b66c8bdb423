// Every case, by area. An area's expectations stand in expected/AREA.json.
import type { Case } from '../context.js';
import { create } from './create.js';
import { io } from './io.js';
import { open } from './open.js';
import { resize } from './resize.js';

export const areas: Record<string, Case[]> = { create, open, resize, io };

export const cases: Case[] = Object.values(areas).flat();
