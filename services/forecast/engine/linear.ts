/**
 * Solves A X = B for a symmetric positive definite A (n × n, row-major) and B (n × columns, row-major), by Cholesky
 * decomposition (Golub and Van Loan, 4.2). Overwrites both; X replaces B.
 * @throws RangeError if A is not positive definite
 */
export function solveCholesky(a: Float64Array, n: number, b: Float64Array, columns: number): Float64Array {
  for (let j = 0; j < n; j += 1) {
    for (let k = 0; k < j; k += 1) {
      const factor = a[j * n + k]!;
      if (factor === 0) continue;
      for (let i = j; i < n; i += 1) a[i * n + j] = a[i * n + j]! - factor * a[i * n + k]!;
    }
    const pivot = a[j * n + j]!;
    if (!(pivot > 0)) throw new RangeError('the matrix is not positive definite');
    const root = Math.sqrt(pivot);
    for (let i = j; i < n; i += 1) a[i * n + j] = a[i * n + j]! / root;
  }
  for (let i = 0; i < n; i += 1) {
    for (let k = 0; k < i; k += 1) subtractRow(b, i, k, a[i * n + k]!, columns);
    divideRow(b, i, a[i * n + i]!, columns);
  }
  for (let i = n - 1; i >= 0; i -= 1) {
    for (let k = i + 1; k < n; k += 1) subtractRow(b, i, k, a[k * n + i]!, columns);
    divideRow(b, i, a[i * n + i]!, columns);
  }
  return b;
}

function subtractRow(b: Float64Array, to: number, from: number, factor: number, columns: number): void {
  for (let c = 0; c < columns; c += 1) b[to * columns + c] = b[to * columns + c]! - factor * b[from * columns + c]!;
}

function divideRow(b: Float64Array, row: number, by: number, columns: number): void {
  for (let c = 0; c < columns; c += 1) b[row * columns + c] = b[row * columns + c]! / by;
}
