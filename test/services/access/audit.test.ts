import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createAudit } from '#services/access/audit.ts';
import { openMasterKey } from '#store/master-key.ts';
import { handClock } from '../../support/sources.ts';
import { openRawSql, storeIn } from '../../support/stores.ts';
import { temporaryDirectory } from '../../support/tower.ts';

const entry = {
  phase: 'requested' as const,
  actor: 'key ci (1)',
  via: 'api_key',
  address: '10.0.0.7',
  action: 'POST /monitor',
  target: { model_name: 'DNA' },
  details: { registered_by: 'dana' },
  status: null,
  requestId: 'r1',
};

/** A log of some rows, and raw access to its file. */
async function auditOf(rows: number) {
  const directory = temporaryDirectory();
  const store = storeIn(directory);
  const audit = createAudit({
    store,
    directory,
    clock: handClock(),
    deriveKey: openMasterKey(directory, 'k'.repeat(32)),
  });
  await audit.begin();
  for (let i = 1; i <= rows; i += 1)
    await audit.record({
      ...entry,
      requestId: `r${i}`,
      phase: i % 2 ? 'requested' : 'done',
      status: i % 2 ? null : 201,
    });
  return { audit, edit: await openRawSql(directory) };
}

const exportOf = async (audit: ReturnType<typeof createAudit>): Promise<string> => {
  let text = '';
  for await (const line of audit.export()) text += line;
  return text;
};

describe('the audit log', () => {
  it('verifies as written, empty or not, in the store and exported', async () => {
    for (const rows of [0, 1, 7]) {
      const { audit } = await auditOf(rows);
      expect(await audit.verify()).toEqual({ rows, problem: null });
      expect(await audit.verifyExport(Buffer.from(await exportOf(audit)))).toEqual({ rows, problem: null });
    }
  });

  it('is one chain despite concurrent writers', async () => {
    const { audit } = await auditOf(0);
    await Promise.all(Array.from({ length: 50 }, () => audit.record(entry)));
    expect(await audit.verify()).toEqual({ rows: 50, problem: null });
  });

  it.each([
    ['a row is left out', 'delete from audit where seq = 3', /^row 3 is missing or misplaced \(found 4\)$/],
    ['the first row is left out', 'delete from audit where seq = 1', /^row 1 is missing/],
    ['the tail is cut off', 'delete from audit where seq > 4', /^6 rows were written, 4 were found$/],
    [
      'the tail and the count are cut',
      'delete from audit where seq > 4; update audit_head set count = 4',
      /^the head was changed$/,
    ],
    ['everything is gone', 'delete from audit', /^6 rows were written, 0 were found$/],
    ['everything is gone, the head too', 'delete from audit; delete from audit_head', /^the head is missing$/],
    [
      'a row hides below all numbers',
      'insert into audit select -9223372036854775807, at, phase, actor, via, address, action, target, details, status, request_id, hash from audit where seq = 1',
      /^a row has a number that is out of range$/,
    ],
    ['the head is gone', 'delete from audit_head', /^the head is missing$/],
    [
      'two rows change places',
      'update audit set seq = 99 where seq = 2; update audit set seq = 2 where seq = 3; update audit set seq = 3 where seq = 99',
      /^row 2 was changed/,
    ],
    [
      'a row is added',
      'insert into audit select 7, at, phase, actor, via, address, action, target, details, status, request_id, hash from audit where seq = 6',
      /^row 7 was changed/,
    ],
    [
      'a row is put before the first',
      'insert into audit select 0, at, phase, actor, via, address, action, target, details, status, request_id, hash from audit where seq = 1',
      /^row 1 is missing or misplaced \(found 0\)$/,
    ],
  ])('detects when %s', async (_what, sql, problem) => {
    const { audit, edit } = await auditOf(6);
    for (const statement of sql.split('; ')) await edit(statement);
    expect((await audit.verify()).problem).toMatch(problem);
  });

  it('detects a change of any byte of any column', async () => {
    const { audit, edit } = await auditOf(4);
    const [first] = await edit('select * from audit where seq = 2');
    const quoted = (value: unknown) => (typeof value === 'string' ? `'${value.replaceAll("'", "''")}'` : String(value));
    for (const [column, raw] of Object.entries(first!)) {
      const value = column === 'seq' || column === 'status' ? (raw === null ? null : Number(raw)) : raw;
      const edits =
        typeof value === 'string'
          ? [...value].map((_, at) => `${value.slice(0, at)}${value[at] === 'x' ? 'y' : 'x'}${value.slice(at + 1)}`)
          : [value === null ? 1 : Number(value) + 10];
      for (const other of edits) {
        if (column === 'phase') continue;
        await edit(`update audit set ${column} = ${quoted(other)} where seq = 2`);
        expect((await audit.verify()).problem, `${column} = ${other}`).not.toBeNull();
        await edit(`update audit set ${column} = ${quoted(value)} where ${column === 'seq' ? 'seq = 12' : 'seq = 2'}`);
      }
    }
    // The only column restricted to two values.
    await edit("update audit set phase = 'requested' where seq = 2");
    expect((await audit.verify()).problem).not.toBeNull();
    await edit("update audit set phase = 'done' where seq = 2");
    expect(await audit.verify()).toEqual({ rows: 4, problem: null });
  });

  it('detects, exported, any changed, removed or added byte, any moved line, and truncation', async () => {
    const { audit } = await auditOf(5);
    const text = await exportOf(audit);
    const bad = async (edited: string) =>
      edited === text || (await audit.verifyExport(Buffer.from(edited))).problem !== null;
    for (let at = 0; at < text.length; at += 1) {
      expect(await bad(text.slice(0, at)), `cut at ${at}`).toBe(true);
      expect(await bad(`${text.slice(0, at)}${text.slice(at + 1)}`), `left out ${at}`).toBe(true);
    }
    await fc.assert(
      fc.asyncProperty(fc.nat(text.length - 1), fc.integer({ min: 32, max: 126 }), async (at, code) => {
        const letter = String.fromCharCode(code);
        expect(await bad(`${text.slice(0, at)}${letter}${text.slice(at + 1)}`)).toBe(true);
        expect(await bad(`${text.slice(0, at)}${letter}${text.slice(at)}`)).toBe(true);
      }),
      { numRuns: process.env['SOAK'] ? 5000 : 500 },
    );
    const lines = text.trimEnd().split('\n');
    for (let a = 0; a < lines.length; a += 1) {
      const without = lines.filter((_, index) => index !== a);
      expect(await bad(`${without.join('\n')}\n`), `without line ${a}`).toBe(true);
      const moved = [...without.slice(1), lines[a], ...without.slice(0, 1)];
      expect(await bad(`${moved.join('\n')}\n`), `line ${a} moved`).toBe(true);
    }
  });

  it('detects a restored earlier state by comparison with a later export', async () => {
    const { audit, edit } = await auditOf(4);
    const [early] = await edit('select * from audit_head');
    const first = Buffer.from(await exportOf(audit));
    await audit.record(entry);
    const second = Buffer.from(await exportOf(audit));
    expect((await audit.verify(first)).problem).toBeNull();
    await edit('delete from audit where seq > 4');
    const { count, hash, seal } = early!;
    await edit(`update audit_head set count = ${count}, hash = '${hash}', seal = '${seal}'`);
    expect((await audit.verify()).problem).toBeNull();
    expect((await audit.verify(second)).problem).toBe('it does not continue the earlier log, which had 5 rows');
    expect((await audit.verifyExport(first, second)).problem).toMatch(/^it does not continue/);
  });

  it('does not verify a file without rows or with a forged head', async () => {
    const { audit } = await auditOf(0);
    for (const text of ['', '\n', '{"head":null}\n', '{"head":{"count":0,"hash":"0","seal":"0"}}\n'])
      expect((await audit.verifyExport(Buffer.from(text))).problem, JSON.stringify(text)).not.toBeNull();
  });

  it('stores and returns any text', async () => {
    const { audit } = await auditOf(0);
    await audit.record({ ...entry, actor: 'J\u00f6rg \ud83d \0 \ufffd 模', details: { note: '\ud800 \ufffd' } });
    expect(await audit.verify()).toEqual({ rows: 1, problem: null });
    const bytes = Buffer.from(await exportOf(audit));
    expect(await audit.verifyExport(bytes)).toEqual({ rows: 1, problem: null });
    expect([...bytes].every((byte) => byte < 127)).toBe(true);
  });

  it('does not verify with another key', async () => {
    const { audit } = await auditOf(3);
    const text = await exportOf(audit);
    const directory = temporaryDirectory();
    const other = createAudit({
      directory,
      store: storeIn(directory),
      clock: handClock(),
      deriveKey: openMasterKey('', 'z'.repeat(32)),
    });
    expect((await other.verifyExport(Buffer.from(text))).problem).toMatch(/^row 1 was changed/);
  });

  it('stores possible secrets as an HMAC, and long values as a digest', async () => {
    const { audit } = await auditOf(0);
    await audit.record({
      ...entry,
      details: { url: 'https://hooks/T0/x', deep: [{ api_key: 'k1', name: 'n' }], password: 'p1' },
    });
    await audit.record({ ...entry, details: { samples: Array.from({ length: 2000 }, () => 1.5) } });
    const { rows } = await audit.list(null, 10);
    const kept = rows.map((row) => row.details);
    expect(kept[1]).toMatch(
      /^\{"url":"hmac-sha256:[0-9a-f]{64}","deep":\[\{"api_key":"hmac-sha256:[0-9a-f]{64}","name":"n"\}\],"password":"hmac-sha256:[0-9a-f]{64}"\}$/,
    );
    expect(kept[0]).toMatch(/^\{"bytes":\d+,"sha256":"[0-9a-f]{64}"\}$/);
  });
});
