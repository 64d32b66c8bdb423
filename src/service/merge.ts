// Chains are kept short in the background: a frozen layer whose parent nobody else refers to is merged into it.
import type { Context } from './context.js';

/** Looks for layers to merge, soon. */
export function mergeLater(ctx: Context): void {
  ctx.stirMerging?.();
}
