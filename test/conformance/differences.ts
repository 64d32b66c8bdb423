// Where we answer otherwise than the real library, on purpose. Each entry says why; one that no longer differs fails the test.

export interface Difference {
  /** The cases that it shows in. */
  cases: string[];
  /** The line that the real library gives, and what we give in its place (no line: []). */
  real: string;
  ours: string | string[];
  reason: string;
}

export const differences: Difference[] = [];
