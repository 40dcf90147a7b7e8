const [quote, backslash] = [34, 92];
const opening = new Set([91, 123]);
const closing = new Set([93, 125]);

/** Limits of JSON text: nesting, and number of lists and objects. */
type Limits = { levels: number; containers: number };

/** Which limit JSON text exceeds, found without parsing it; null if none. */
export function exceededLimit(text: string, limits: Limits): keyof Limits | null {
  let [depth, containers] = [0, 0];
  let isInText = false;
  for (let i = 0; i < text.length; i += 1) {
    const code = text.charCodeAt(i);
    if (isInText) {
      if (code === backslash) i += 1;
      else if (code === quote) isInText = false;
    } else if (code === quote) isInText = true;
    else if (opening.has(code)) {
      depth += 1;
      containers += 1;
      if (depth > limits.levels) return 'levels';
      if (containers > limits.containers) return 'containers';
    } else if (closing.has(code)) depth -= 1;
  }
  return null;
}
