import { Type } from 'class-transformer';
import {
  ArrayMaxSize,
  ArrayMinSize,
  ArrayUnique,
  IsArray,
  IsBoolean,
  IsIn,
  IsInt,
  IsObject,
  IsOptional,
  IsString,
  Length,
  Matches,
  MaxLength,
  Min,
  ValidateBy,
  ValidateNested,
} from 'class-validator';
import type { ValidationOptions } from 'class-validator';
import type { ErrorCode } from '../../domain/error';

/** Says which code a broken rule has. */
const as = (code: ErrorCode, message: string) => ({ context: { code }, message });

/** Many times what any action has: what policy looks at, and the log keeps, is for nobody to make large. */
export const MOST_MEMBERS = 64;

const HasFewMembers = (options: ValidationOptions) =>
  ValidateBy(
    {
      name: 'hasFewMembers',
      validator: {
        validate: (value: unknown) =>
          typeof value !== 'object' || value === null || Object.keys(value).length <= MOST_MEMBERS,
      },
    },
    options,
  );

const SPIFFE_ID = /^spiffe:\/\/[a-z0-9._-]+(\/[A-Za-z0-9._-]+)+$/;

/** What exactly will be done, and narrower ceilings than policy's where asked. */
export class ConstraintsDto {
  @IsOptional()
  @IsObject(as('invalid_request', 'con.params must be an object'))
  @HasFewMembers(as('invalid_request', `con.params must have at most ${MOST_MEMBERS} members`))
  params?: object;

  @IsOptional()
  @IsObject(as('limits_malformed', 'con.limits must be an object'))
  @HasFewMembers(as('limits_malformed', `con.limits must have at most ${MOST_MEMBERS} members`))
  limits?: object;
}

export class AccountablePartyDto {
  @IsString()
  @Length(1, 128)
  type!: string;

  @IsString()
  @Length(1, 256)
  id!: string;
}

/** The legal ground (operating model §3, §4). What approvals say is never read from here. */
export class LegDto {
  @IsOptional()
  @Matches(/^[A-Z]{2}$/, as('invalid_request', 'jurisdiction must be an ISO 3166-1 alpha-2 code, or EU'))
  jurisdiction?: string;

  @IsOptional()
  @IsObject(as('invalid_request', 'accountable_party must be an object'))
  @ValidateNested()
  @Type(() => AccountablePartyDto)
  accountable_party?: AccountablePartyDto;

  @IsOptional()
  @IsIn(['LI', 'CONTRACT', 'CONSENT', 'LEGAL'])
  basis?: string;

  @IsOptional()
  @IsString()
  @Length(1, 256)
  ref?: string;

  @IsOptional()
  @IsString()
  @MaxLength(1_000)
  description?: string;

  @IsOptional()
  @IsString()
  @Length(1, 256)
  data_subject?: string;

  @IsOptional()
  @IsString()
  @Length(1, 256)
  purpose?: string;
}

/** The body of POST /issue and POST /plan. */
export class IssuanceDto {
  @IsString(as('action_malformed', 'act must be the name of an action'))
  @Length(3, 128, as('action_malformed', 'act must have 3 to 128 characters'))
  @Matches(
    /^[a-z0-9_]+(\.[a-z0-9_]+)+$/,
    as('action_malformed', 'act must be lower-case words, joined by dots'),
  )
  act!: string;

  @IsOptional()
  @IsObject(as('invalid_request', 'con must be an object'))
  @ValidateNested()
  @Type(() => ConstraintsDto)
  con?: ConstraintsDto;

  @IsOptional()
  @IsObject(as('invalid_request', 'leg must be an object'))
  @ValidateNested()
  @Type(() => LegDto)
  leg?: LegDto;

  @IsOptional()
  @IsString()
  @MaxLength(2_000)
  justification?: string;

  @IsOptional()
  @Matches(/^[A-Za-z0-9._-]{1,128}$/, as('invalid_request', 'ticket must be 1 to 128 of A-Z a-z 0-9 . _ -'))
  ticket?: string;

  @IsOptional()
  @IsBoolean()
  requires_dual_control?: boolean;

  @IsOptional()
  @IsArray()
  @ArrayMinSize(2, as('approvers_too_few', 'dual control needs at least two approvers'))
  @ArrayMaxSize(10)
  @ArrayUnique(as('approvers_not_distinct', 'the approvers must be distinct'))
  @Matches(SPIFFE_ID, { each: true, ...as('approver_unknown', 'each approver must be a SPIFFE ID') })
  approvers?: string[];

  @IsOptional()
  @IsInt(as('ttl_malformed', 'ttl_seconds must be a whole number'))
  @Min(1, as('ttl_malformed', 'ttl_seconds must be at least 1'))
  ttl_seconds?: number;

  @IsOptional()
  @IsBoolean()
  reversal?: boolean;
}

/** The body of POST /requests/:id/verdicts. */
export class VerdictDto {
  @IsString(as('verdict_malformed', 'verdict must be a compact JWS'))
  @Matches(/^[\w-]+\.[\w-]+\.[\w-]+$/, as('verdict_malformed', 'verdict must be a compact JWS'))
  @MaxLength(32_768, as('verdict_malformed', 'verdict must have at most 32768 characters'))
  verdict!: string;
}
