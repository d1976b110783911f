/** ISO 13616 registry: how long an IBAN of a country is. */
const IBAN_LENGTHS: Readonly<Record<string, number>> = {
  ...{
    AD: 24,
    AE: 23,
    AL: 28,
    AT: 20,
    AZ: 28,
    BA: 20,
    BE: 16,
    BG: 22,
    BH: 22,
    BR: 29,
    BY: 28,
    CH: 21,
    CR: 22,
  },
  ...{
    CY: 28,
    CZ: 24,
    DE: 22,
    DK: 18,
    DO: 28,
    EE: 20,
    EG: 29,
    ES: 24,
    FI: 18,
    FO: 18,
    FR: 27,
    GB: 22,
    GE: 22,
  },
  ...{
    GI: 23,
    GL: 18,
    GR: 27,
    GT: 28,
    HR: 21,
    HU: 28,
    IE: 22,
    IL: 23,
    IQ: 23,
    IS: 26,
    IT: 27,
    JO: 30,
    KW: 30,
  },
  ...{
    KZ: 20,
    LB: 28,
    LC: 32,
    LI: 21,
    LT: 20,
    LU: 20,
    LV: 21,
    LY: 25,
    MC: 27,
    MD: 24,
    ME: 22,
    MK: 19,
    MR: 27,
  },
  ...{
    MT: 31,
    MU: 30,
    NL: 18,
    NO: 15,
    PK: 24,
    PL: 28,
    PS: 29,
    PT: 25,
    QA: 29,
    RO: 24,
    RS: 22,
    SA: 24,
    SC: 31,
  },
  ...{
    SE: 24,
    SI: 19,
    SK: 24,
    SM: 27,
    ST: 25,
    SV: 28,
    TL: 23,
    TN: 24,
    TR: 26,
    UA: 29,
    VA: 22,
    VG: 24,
    XK: 20,
  },
};

/**
 * Whether a text has such a datum in it, proven by its checksum where the form has one. Patterns have a bounded length
 * and begin at a boundary, so that each place of a text is looked at a bounded number of times.
 */
export const PERSONAL_FORMS = {
  /** RFC 5321 §4.1.2, as people write it. */
  email: (text: string) => hasEmail(text),
  /** ISO 13616, ISO 7064 MOD 97-10. */
  iban: (text: string) => some(text, /\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{1,4}){3,8}/g, isIban),
  /** ISO/IEC 7812-1: a known industry, and Luhn's check digit. */
  payment_card: (text: string) =>
    some(text, /(?<![\d.,-])[2-6]\d{3}(?:[ -]?\d{2,6}){2,4}(?![\d.,-]?\d)/g, isCard),
  us_ssn: (text: string) =>
    some(text, /(?<![\d-])(?!000|666|9\d\d)\d{3}-(?!00)\d{2}-(?!0000)\d{4}(?![\d-])/g, () => true),
  /** EAN-13 check digit. */
  ch_ahv: (text: string) => some(text, /(?<!\d)756\.?\d{4}\.?\d{4}\.?\d{2}(?!\d)/g, isEan13),
  fr_nir: (text: string) =>
    some(text, /(?<!\d)[12] ?\d{2} ?(?:0[1-9]|1[0-2]|[2-9]\d) ?\d[\dAB] ?\d{3} ?\d{3} ?\d{2}(?!\d)/g, isNir),
  es_dni: (text: string) => some(text, /\b\d{8}-?[A-HJ-NP-TV-Z]\b/g, isDni),
  it_codice_fiscale: (text: string) =>
    some(text, /\b[A-Z]{6}\d{2}[A-EHLMPR-T]\d{2}[A-Z]\d{3}[A-Z]\b/g, isCodiceFiscale),
  gb_nino: (text: string) =>
    some(
      text,
      /\b(?!BG|GB|NK|KN|TN|NT|ZZ)[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z] ?\d{2} ?\d{2} ?\d{2} ?[A-D]\b/g,
      () => true,
    ),
} as const;

function some(text: string, form: RegExp, isOne: (found: string) => boolean): boolean {
  for (const [found] of text.matchAll(form)) if (isOne(found.replace(/[ .-]/g, ''))) return true;
  return false;
}

const LOCAL = /[A-Za-z0-9._%+-]/;
const DOMAIN = /^[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){0,8}\.[A-Za-z]{2,24}(?![A-Za-z0-9])/;

/** From each @ one way only, so that a text of nothing but @ or letters takes no longer. */
function hasEmail(text: string): boolean {
  for (let at = text.indexOf('@'); at !== -1; at = text.indexOf('@', at + 1)) {
    if (at > 0 && LOCAL.test(text[at - 1] ?? '') && DOMAIN.test(text.slice(at + 1, at + 320))) return true;
  }
  return false;
}

function isIban(candidate: string): boolean {
  const length = IBAN_LENGTHS[candidate.slice(0, 2)];
  // What follows in the text may have been taken along.
  if (length === undefined || candidate.length < length) return false;
  const iban = candidate.slice(0, length);
  const digits = Array.from(iban.slice(4) + iban.slice(0, 4))
    .map((letter) => Number.parseInt(letter, 36))
    .join('');
  return remainder(digits, 97) === 1;
}

function isCard(digits: string): boolean {
  if (digits.length < 13 || digits.length > 19 || !/^(?:4|5[1-5]|2[2-7]|3[4-7]|6[0245])/.test(digits))
    return false;
  if (/^(\d)\1*$/.test(digits)) return false;
  let sum = 0;
  for (const [index, digit] of Array.from(digits).reverse().entries()) {
    const value = Number(digit) * (index % 2 === 0 ? 1 : 2);
    sum += value > 9 ? value - 9 : value;
  }
  return sum % 10 === 0;
}

function isEan13(digits: string): boolean {
  const sum = Array.from(digits).reduce(
    (total, digit, index) => total + Number(digit) * (index % 2 === 0 ? 1 : 3),
    0,
  );
  return sum % 10 === 0;
}

function isNir(digits: string): boolean {
  const body = digits.slice(0, 13).replace('A', '0').replace('B', '0');
  // Corsica: 2A and 2B count as 19 and 18 (INSEE).
  const corsica = digits.includes('A') ? 1_000_000 : digits.includes('B') ? 2_000_000 : 0;
  return 97 - ((Number(body) - corsica) % 97) === Number(digits.slice(13));
}

function isDni(candidate: string): boolean {
  return 'TRWAGMYFPDXBNJZSQVHLCKE'[Number(candidate.slice(0, 8)) % 23] === candidate[8];
}

const ODD = [1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23];

function isCodiceFiscale(candidate: string): boolean {
  const sum = Array.from(candidate.slice(0, 15)).reduce((total, letter, index) => {
    const value = /\d/.test(letter) ? Number(letter) : letter.charCodeAt(0) - 65;
    return total + (index % 2 === 0 ? (ODD[value] ?? 0) : value);
  }, 0);
  return String.fromCharCode(65 + (sum % 26)) === candidate[15];
}

function remainder(digits: string, modulus: number): number {
  let rest = 0;
  for (const digit of digits) rest = (rest * 10 + Number(digit)) % modulus;
  return rest;
}
