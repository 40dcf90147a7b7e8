import { move, transferableSymbol, valueSymbol } from 'piscina';

/** Result of a worker function whose buffers are moved to the caller's thread rather than copied. */
export const movedResult = (value: object, buffers: ArrayBufferLike[]) =>
  move({ [valueSymbol]: value, [transferableSymbol]: buffers });
