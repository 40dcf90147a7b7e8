import type { Clock } from '#kernel/clock.ts';
import { conflict, notFound } from '#kernel/errors.ts';
import type { Store } from './store.ts';

/** Sends a delivery again, as if it were new. @throws TowerError `not_found`, `conflict` while it is pending */
export async function replay(store: Store, clock: Clock, recipient: string, id: number): Promise<void> {
  const db = await store.db();
  const row = await db
    .selectFrom('outbox_deliveries')
    .select('state')
    .where('id', '=', id)
    .where('recipient', '=', recipient)
    .executeTakeFirst();
  if (!row) throw notFound('delivery not found', { parameter: 'delivery_id', value: id });
  if (row.state === 'due' || row.state === 'sending') throw conflict('the delivery is still pending');
  await db
    .updateTable('outbox_deliveries')
    .set({ state: 'due', due_at: new Date(clock.now()).toISOString(), attempts: 0 })
    .where('id', '=', id)
    .execute();
}
