// Every case, by area. An area's expectations stand in expected/AREA.json.
import type { Case } from '../context.js';
import { create } from './create.js';

export const areas: Record<string, Case[]> = { create };

export const cases: Case[] = Object.values(areas).flat();
