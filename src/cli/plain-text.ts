/**
 * Names come from a registry anybody may write to: neither control characters reach the terminal nor those that change the
 * direction of what follows (Unicode Bidi_Control).
 */
export const plain = (text: string): string => text.replaceAll(/[\p{Cc}\p{Bidi_Control}\u2028\u2029]/gu, ' ');
