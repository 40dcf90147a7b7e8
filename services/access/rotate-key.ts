import { conflict } from '#kernel/errors.ts';
import { commitKey, type DeriveKey } from '#store/master-key.ts';
import type { Store } from '#store/store.ts';
import { allRows, headOf } from './audit.ts';
import { chainWith, verifyAudit } from './audit-chain.ts';

/**
 * Signs the audit log with another key and makes it the key of the store, in one transaction.
 * @param from - the current key, by which the log is verified first; null = it is lost, the log is signed as it is
 * @returns number of rows
 * @throws TowerError `conflict` if the log does not verify: signing it would hide a change
 */
export async function signAnew(store: Store, from: DeriveKey | null, to: DeriveKey): Promise<number> {
  const chain = chainWith(to);
  return (await store.db()).transaction().execute(async (transaction) => {
    // Writing first takes the lock, so that no other process appends meanwhile.
    await transaction
      .updateTable('audit_head')
      .set((at) => ({ count: at.ref('count') }))
      .execute();
    if (from !== null) {
      const { problem } = await verifyAudit(allRows(transaction), await headOf(transaction), chainWith(from), null);
      if (problem !== null) throw conflict(`the audit log does not verify: ${problem}; nothing was changed`);
    }
    let { count, hash } = { count: 0, hash: chain.start.hash };
    for await (const { hash: _, ...row } of allRows(transaction)) {
      hash = chain.hash(hash, row);
      count += 1;
      await transaction.updateTable('audit').set({ hash }).where('seq', '=', row.seq).execute();
    }
    await transaction
      .updateTable('audit_head')
      .set({ count, hash, seal: chain.seal(count, hash) })
      .execute();
    await commitKey(transaction, to);
    return count;
  });
}
