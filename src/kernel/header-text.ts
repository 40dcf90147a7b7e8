/** Whether a text can be the value of an HTTP header: visible ASCII, spaces, tabs and Latin-1, without line breaks. */
export const isHeaderText = (text: string): boolean => /^[\t\x20-\x7e\x80-\xff]*$/.test(text);
