// The backends that a test of images runs on where it is tied to none: `for (const backend of backends) t.test(`on ${backend}: ...`)`.

export type TestBackend = 'local' | 'curvebs';

export const backends: readonly TestBackend[] = ['local', 'curvebs'];
