import { editDistance } from '#kernel/edit-distance.ts';
import { settings } from './config.ts';

/** Environment variables that are probably misspelled settings. */

/** Variables of the command line, which are no settings of the server. */
const otherNames = ['TOWER_URL', 'TOWER_TOKEN', 'TOWER_REGISTRY'];

/** A typo or two; more in a short name would match unrelated variables. */
const maxDistance = 2;
const minLength = 8;

/** One text per variable that is not a setting but nearly has the name of one. */
export function suspiciousVariables(env: Record<string, string | undefined>): string[] {
  const known = [...Object.keys(settings.shape), ...otherNames];
  return (
    Object.keys(env)
      .filter((name) => name.length >= minLength && !known.includes(name))
      // Credentials of one of several registries end in its name.
      .filter((name) => !known.some((each) => name.startsWith(`${each}_`)))
      .flatMap((name) => {
        const meant = known.find(
          (each) => each.length >= minLength && editDistance(name, each, maxDistance) <= maxDistance,
        );
        return meant === undefined ? [] : [`the variable ${name} is unknown and ignored; did you mean ${meant}?`];
      })
  );
}
