# What speaks against a person's signed word, whatever it is on: `input.word`, received at `input.now`.
package atb.word

import data.atb.directory
import data.atb.verdicts

faults contains "verdict_by_unknown_person" if not directory.person(input.word.by)

faults contains "verdict_role_not_held" if not input.word.role in directory.roles(input.word.by)

faults contains "verdict_revoked" if not verdicts.stands(input.word)

faults contains "verdict_stale" if not verdicts.fresh(input.word)

faults contains "verdict_from_future" if not of_the_past

of_the_past if input.word.issued_at <= input.now + data.verdicts.clock_skew_seconds
