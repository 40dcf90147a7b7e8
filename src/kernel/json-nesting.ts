const [quote, backslash] = [34, 92];
const opening = new Set([91, 123]);
const closing = new Set([93, 125]);

/** Whether JSON text has more than this many levels of lists and objects, found without parsing it. */
export function isNestedDeeper(text: string, levels: number): boolean {
  let depth = 0;
  let isInText = false;
  for (let i = 0; i < text.length; i += 1) {
    const code = text.charCodeAt(i);
    if (isInText) {
      if (code === backslash) i += 1;
      else if (code === quote) isInText = false;
    } else if (code === quote) isInText = true;
    else if (opening.has(code)) {
      depth += 1;
      if (depth > levels) return true;
    } else if (closing.has(code)) depth -= 1;
  }
  return false;
}
