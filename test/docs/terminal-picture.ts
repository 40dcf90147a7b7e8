/** A picture of a terminal, as SVG. */

const [lineHeight, charWidth, margin] = [20, 8.43, 18];
const escaped = (text: string): string => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');

/** @param lines - those that begin with `$ ` are commands */
export function terminalPicture(lines: string[]): string {
  const width = Math.ceil(Math.max(...lines.map((line) => line.length)) * charWidth + 2 * margin);
  const height = lines.length * lineHeight + 2 * margin + 22;
  const texts = lines.map((line, i) => {
    const y = margin + 34 + i * lineHeight;
    const colour = line.startsWith('$ ') ? '#8fd18f' : /^[A-Z][A-Z ]+$/.test(line) ? '#9aa7b8' : '#dfe5ee';
    return `<text x="${margin}" y="${y}" fill="${colour}" xml:space="preserve">${escaped(line)}</text>`;
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img">
<rect width="${width}" height="${height}" rx="8" fill="#151a21"/>
${['#ec6a5e', '#f4bf4f', '#61c554'].map((fill, i) => `<circle cx="${margin + 6 + i * 18}" cy="16" r="5" fill="${fill}"/>`).join('\n')}
<g font-family="ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace" font-size="14">
${texts.join('\n')}
</g>
</svg>
`;
}
