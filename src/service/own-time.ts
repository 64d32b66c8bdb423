// Waiting for others by the time that this process itself had. After a pause of the whole machine, or of the daemon alone, nobody
// is taken for dead because the clock went on: he could not answer, or his answer lies there unread.

const steps = 20;

/** Calls `then` after `ms` in which this process ran (and, where it keeps the process, does not end before). Returns how to wait no longer. */
export function afterOwnTime(ms: number, then: () => void, { keepsProcess } = { keepsProcess: true }): () => void {
  // However long a pause was, it ends no more than one step.
  const step = Math.max(1, ms / steps);
  let left = ms;
  const timer = setInterval(() => {
    left -= step;
    if (left > 0) return;
    clearInterval(timer);
    then();
  }, step);
  if (!keepsProcess) timer.unref();
  return () => clearInterval(timer);
}
