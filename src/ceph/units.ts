// Numbers as Ceph's commands show and take them. The rules were read off the real commands' output.

/** "19 B", "4 KiB", "290 MiB", "4.1 MiB": whole multiples exactly, else as many digits as fit in seven characters. */
export function bytes(count: number): string {
  return scaled(count, 1024, [' B', ' KiB', ' MiB', ' GiB', ' TiB', ' PiB', ' EiB']);
}

/** "187", "1k", "2.23k". */
export function counts(count: number): string {
  return scaled(count, 1000, ['', 'k', 'M', 'G', 'T', 'P', 'E']);
}

function scaled(count: number, base: number, units: readonly string[]): string {
  let power = 0;
  while (count >= base ** (power + 1) && power + 1 < units.length) power++;
  const unit = units[power] ?? '';
  const divisor = base ** power;
  if (count % divisor === 0) return `${count / divisor}${unit}`;
  for (const digits of [2, 1, 0]) {
    const text = `${(count / divisor).toFixed(digits)}${unit}`;
    if (text.length <= 7 || digits === 0) return text;
  }
  return '';
}

/** A ratio in percent: "0" below one hundredth, else two digits. */
export function percent(ratio: number): string {
  const value = ratio * 100;
  return value < 0.01 ? '0' : value.toFixed(2);
}

/** "2026-11-21T12:39:25.237073+0000" */
export function timestamp(time: {readonly sec: number, readonly nsec: number}): string {
  const iso = new Date(time.sec * 1000).toISOString().slice(0, 19);
  return `${iso}.${String(Math.floor(time.nsec / 1000)).padStart(6, '0')}+0000`;
}

/** How long ago, as `ceph -s` shows it: "22s", "7m", "3h", "2d", "5w". */
export function ago(seconds: number): string {
  if (seconds < 120) return `${Math.floor(seconds)}s`;
  if (seconds < 120 * 60) return `${Math.floor(seconds / 60)}m`;
  if (seconds < 48 * 3600) return `${Math.floor(seconds / 3600)}h`;
  if (seconds < 14 * 86400) return `${Math.floor(seconds / 86400)}d`;
  return `${Math.floor(seconds / (7 * 86400))}w`;
}
