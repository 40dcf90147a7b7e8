import { z } from 'zod';

/**
 * Schemas of query parameters. They arrive as texts and are parsed where they are used, with an error that names the
 * rule; the document states the type that is meant.
 */
export const integerText = (minimum: number, maximum?: number) =>
  z.string().meta({ type: 'integer', minimum, ...(maximum === undefined ? {} : { maximum }) });

export const numberText = () => z.string().meta({ type: 'number' });

export const choiceText = (values: readonly string[]) => z.string().meta({ enum: [...values] });
