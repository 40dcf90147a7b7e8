/**
 * Names in a registry are user input: control characters must not reach terminals, logs and pictures, nor characters that
 * change the text direction (Unicode Bidi_Control).
 */
export const plain = (text: string): string => text.replaceAll(/[\p{Cc}\p{Bidi_Control}\u2028\u2029]/gu, ' ');
