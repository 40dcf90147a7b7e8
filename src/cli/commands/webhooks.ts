import type { Command } from 'commander';
import type { DeliveryInfo, WebhookCreated, WebhookInfo } from '#services/registry/webhooks/webhook-schemas.ts';
import type { CliContext } from '../context.ts';
import { card, table } from '../table.ts';

const root = '/api/v1/registry/webhooks';
const pathOf = (id: string): string => `${root}/${encodeURIComponent(id)}`;

/** `tower webhooks …`: subscriptions to registry events and drift alerts. */
export function addWebhookCommands(program: Command, context: CliContext): void {
  const webhooks = program.command('webhooks').description('webhooks for registry events and drift alerts');

  webhooks
    .command('list')
    .description('list webhooks')
    .action(async () => {
      context.print(await context.tower().get<WebhookInfo[]>(root), (all) =>
        all.length === 0
          ? 'No webhooks.'
          : table(
              ['ID', 'URL', 'EVENTS', 'MODEL', 'STATE', 'DESCRIPTION'],
              all.map(({ id, url, events, name, state, description }) => [
                id,
                url,
                events.length === 0 ? 'all' : events,
                name,
                state,
                description,
              ]),
            ),
      );
    });

  webhooks
    .command('add <url>')
    .description('create a webhook and print its signing secret, once')
    .option('--event <type...>', 'event types, or prefixes such as drift or model_version_alias; default: all')
    .option('--name <model>', 'only events of this model')
    .option('--description <text>', 'purpose of the webhook')
    .action(async (url: string, { event, ...flags }: { event?: string[]; name?: string; description?: string }) => {
      const request = { url, ...flags, ...(event === undefined ? {} : { events: event }) };
      const made = await context.tower().post<WebhookCreated>(root, request);
      context.print(
        made,
        ({ secret, ...rest }) => `${card(Object.entries(rest))}\n\nsigning secret, shown once: ${secret}`,
      );
    });

  webhooks
    .command('remove <id>')
    .description('delete a webhook and cancel its pending deliveries')
    .action(async (id: string) => {
      context.print(await context.tower().delete<{ message: string }>(pathOf(id)), ({ message }) => message);
    });

  webhooks
    .command('test <id>')
    .description('send a test message')
    .action(async (id: string) => {
      context.print(await context.tower().post<{ message: string }>(`${pathOf(id)}/test`), ({ message }) => message);
    });

  addDeliveriesCommand(webhooks, context);
}

function addDeliveriesCommand(webhooks: Command, context: CliContext): void {
  webhooks
    .command('deliveries <id>')
    .description('deliveries of a webhook, newest first')
    .option('--limit <number>', 'maximum number of deliveries', '20')
    .action(async (id: string, { limit }: { limit: string }) => {
      const path = `${pathOf(id)}/deliveries?limit=${encodeURIComponent(limit)}`;
      context.print(await context.tower().get<DeliveryInfo[]>(path), (all) =>
        all.length === 0
          ? 'No deliveries.'
          : table(
              ['ID', 'TYPE', 'STATE', 'ATTEMPTS', 'STATUS', 'LAST ATTEMPT', 'ERROR'],
              all.map((each) => [
                each.id,
                each.type,
                each.state,
                each.attempts,
                each.last_status,
                each.last_attempt_at,
                each.last_error,
              ]),
            ),
      );
    });
}
