/** Encodings of text files, as spreadsheets and Windows programs write them. */

export type DecodedText = { text: string; encoding: 'UTF-8' | 'UTF-16LE' | 'UTF-16BE' | 'Windows-1252' };

/** Finds the encoding by the byte order mark, by zero bytes, or by whether the bytes are valid UTF-8. */
export function decodeText(bytes: Uint8Array): DecodedText {
  const encoding = encodingOf(bytes);
  if (encoding !== null) return { text: new TextDecoder(encoding).decode(bytes), encoding };
  try {
    return { text: new TextDecoder('utf-8', { fatal: true }).decode(bytes), encoding: 'UTF-8' };
  } catch {
    return { text: new TextDecoder('windows-1252').decode(bytes), encoding: 'Windows-1252' };
  }
}

/** UTF-16 by its byte order mark or by the zero bytes of ASCII characters; else null. */
export function encodingOf(start: Uint8Array): 'UTF-16LE' | 'UTF-16BE' | null {
  const [first, second] = [start[0], start[1]];
  if ((first === 0xff && second === 0xfe) || (first !== 0 && second === 0)) return 'UTF-16LE';
  if ((first === 0xfe && second === 0xff) || (first === 0 && second !== 0 && second !== undefined)) return 'UTF-16BE';
  return null;
}
