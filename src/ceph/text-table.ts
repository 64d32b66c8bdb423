// Tables of plain output: columns as wide as their widest cell, two blanks between, every cell filled up to its width.

export interface Column {
  readonly head: string;
  readonly align: 'left'|'right';
  /** Absent: as the cells. */
  readonly headAlign?: 'left';
}

export const left = (head: string): Column => ({head, align: 'left'});
/** Cells from the right, the head from the left. */
export const mixed = (head: string): Column => ({head, align: 'right', headAlign: 'left'});
export const right = (head: string): Column => ({head, align: 'right'});

const fill = (cell: string, width: number, align: 'left'|'right'): string => align === 'left' ? cell.padEnd(width) : cell.padStart(width);

/** Lines, each ended by a newline. */
export function textTable(columns: readonly Column[], rows: readonly (readonly string[])[]): string {
  const widths = columns.map((column, at) => Math.max(column.head.length, ...rows.map((row) => (row[at] ?? '').length)));
  const head = columns.map((column, at) => fill(column.head, widths[at] ?? 0, column.headAlign ?? column.align));
  const lines = rows.map((cells) => columns.map((column, at) => fill(cells[at] ?? '', widths[at] ?? 0, column.align)));
  return [head, ...lines].map((cells) => `${cells.join('  ')}\n`).join('');
}
