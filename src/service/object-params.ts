// The parameters that an object's operation reads. The door's Params are these and check each field as they read it (EINVAL).
export interface Params {
  text(name: string, byDefault?: string): string;
  number(name: string, byDefault?: number): number;
  flag(name: string, byDefault?: boolean): boolean;
  texts(name: string): string[];
  /** From base64. */
  bytes(name: string): Buffer;
  /** A list of pairs of texts. */
  pairs(name: string): [string, string][];
}
