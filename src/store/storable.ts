/** Texts that both engines can hold. PostgreSQL's text has no U+0000, and an index entry has at most 2,704 bytes. */

const maxKeyBytes = 1_024;

/** Whether a text can be part of a key. */
export const isStorableKey = (text: string): boolean => !text.includes('\0') && Buffer.byteLength(text) <= maxKeyBytes;

/** A text from elsewhere, such as an error of another server, with U+FFFD in place of what cannot be stored. */
export const storableText = (text: string): string => text.replaceAll('\0', '\uFFFD');
