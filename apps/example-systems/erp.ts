import { randomUUID } from 'node:crypto';
import type { JsonObject } from '../../domain/json';
import { add, Declined, entry, text } from './operation';
import type { System, SystemAnswer } from './operation';

interface ErpState {
  readonly orders: Record<string, JsonObject>;
  readonly invoices: Record<string, JsonObject>;
  readonly vendors: Record<string, JsonObject & { readonly paid: number }>;
  readonly payments: Record<string, JsonObject>;
  /** Payments by the Idempotency-Key that they came with. */
  readonly paidUnder: Record<string, string>;
  /** Payments that were taken back, by the Idempotency-Key of that. */
  reversedUnder?: Record<string, string>;
}

const CENTS = 100;

export const erp: System<ErpState> = {
  first: {
    orders: { 'SO-1': { order_id: 'SO-1', customer_id: 'C-42', quantity: 3, state: 'open' } },
    invoices: { 'INV-4711': { invoice_id: 'INV-4711', amount: 980, currency: 'EUR', state: 'open' } },
    vendors: {
      'V-1': { vendor_id: 'V-1', name: 'Paper and Ink Ltd', paid: 0, currency: 'EUR' },
      'V-2': { vendor_id: 'V-2', name: 'Northern Freight', paid: 0, currency: 'EUR' },
      // Its bank takes nothing: a payment to it is booked, and then the transfer fails.
      'V-3': { vendor_id: 'V-3', name: 'Old Quay Storage', paid: 0, currency: 'EUR', bank: 'closed' },
    },
    payments: {},
    paidUnder: {},
  },
  operations: {
    listOrders: ({ orders }) => ({ status: 200, body: Object.values(orders) }),
    readOrder: ({ orders }, { path }) => ({ status: 200, body: entry(orders, path.order_id) }),
    createOrder: ({ orders }, { body }) => ({
      status: 201,
      body: add(orders, text(body.order_id), { ...body, state: 'open' }),
    }),
    updateOrder: ({ orders }, { path, body }) => {
      const order = entry(orders, path.order_id);
      requireState(order, 'open');
      return { status: 200, body: (orders[text(order.order_id)] = { ...order, ...body }) };
    },
    cancelOrder: ({ orders }, { path, body }) => {
      const order = entry(orders, path.order_id);
      requireState(order, 'open');
      return {
        status: 200,
        body: (orders[text(order.order_id)] = { ...order, ...body, state: 'cancelled' }),
      };
    },
    readInvoice: ({ invoices }, { path }) => ({ status: 200, body: entry(invoices, path.invoice_id) }),
    createInvoice: ({ invoices }, { body }) => ({
      status: 201,
      body: add(invoices, text(body.invoice_id), { ...body, state: 'open' }),
    }),
    voidInvoice: ({ invoices }, { path, body }) => {
      const invoice = entry(invoices, path.invoice_id);
      requireState(invoice, 'open');
      return {
        status: 200,
        body: (invoices[text(invoice.invoice_id)] = { ...invoice, ...body, state: 'void' }),
      };
    },
    readVendor: ({ vendors }, { path }) => ({ status: 200, body: entry(vendors, path.vendor_id) }),
    readPayment: ({ payments }, { path }) => ({ status: 200, body: entry(payments, path.payment_id) }),
    executePayment: (state, { body, idempotencyKey, now }) => {
      const known = idempotencyKey === undefined ? undefined : state.paidUnder[idempotencyKey];
      if (known !== undefined) return paymentAnswer(entry(state.payments, known));
      const vendor = entry(state.vendors, text(body.vendor_id));
      if (body.currency !== undefined && body.currency !== vendor.currency) {
        throw new Declined(422, 'the vendor is paid in another currency');
      }
      if (body.invoice_id !== undefined) payInvoice(state, text(body.invoice_id), Number(body.amount));
      const paid = Math.round((vendor.paid + Number(body.amount)) * CENTS) / CENTS;
      state.vendors[text(vendor.vendor_id)] = { ...vendor, paid };
      const paymentId = randomUUID();
      if (idempotencyKey !== undefined) state.paidUnder[idempotencyKey] = paymentId;
      const payment = {
        ...{ payment_id: paymentId, currency: vendor.currency ?? null },
        ...body,
        executed_at: now.toISOString(),
        transfer: vendor.bank === 'closed' ? 'failed' : 'done',
      };
      return paymentAnswer(add<JsonObject>(state.payments, paymentId, payment));
    },
    reversePayment: (state, { body, idempotencyKey, now }) => {
      const reversed = (state.reversedUnder ?? {})[idempotencyKey ?? ''];
      if (reversed !== undefined) return { status: 200, body: entry(state.payments, reversed) };
      const payment = theFailed(state, body);
      const { payment_id: paymentId, vendor_id: vendorId, invoice_id: invoiceId, amount } = payment;
      const vendor = entry(state.vendors, text(vendorId));
      const paid = Math.round((vendor.paid - Number(amount)) * CENTS) / CENTS;
      state.vendors[text(vendorId)] = { ...vendor, paid };
      if (invoiceId !== undefined) {
        state.invoices[text(invoiceId)] = { ...entry(state.invoices, text(invoiceId)), state: 'open' };
      }
      if (idempotencyKey !== undefined) {
        state.reversedUnder = { ...state.reversedUnder, [idempotencyKey]: text(paymentId) };
      }
      const taken = { ...payment, transfer: 'reversed', reversed_at: now.toISOString() };
      return { status: 200, body: (state.payments[text(paymentId)] = taken) };
    },
  },
};

/** A transfer that failed leaves a payment that is booked: the answer says so. */
function paymentAnswer(payment: JsonObject): SystemAnswer {
  if (payment.transfer !== 'failed') return { status: 201, body: payment };
  const problem = { title: 'the payment is booked, and its transfer failed', status: 502 };
  return { status: 502, body: { ...problem, payment }, headers: { 'erp-outcome': 'committed' } };
}

/** The one payment of these values whose transfer failed. Throws `Declined`. */
function theFailed({ payments }: ErpState, wanted: JsonObject): JsonObject {
  const [found, ...others] = Object.values(payments).filter(
    (payment) =>
      payment.transfer === 'failed' &&
      Object.entries(wanted).every(([name, value]) => payment[name] === value),
  );
  if (!found) throw new Declined(404, 'no such payment has failed');
  if (others.length > 0) throw new Declined(409, 'more than one such payment has failed');
  return found;
}

function payInvoice({ invoices }: ErpState, id: string, amount: number): void {
  const invoice = entry(invoices, id);
  requireState(invoice, 'open');
  if (invoice.amount !== amount) throw new Declined(422, 'the invoice is about another amount');
  invoices[id] = { ...invoice, state: 'paid' };
}

function requireState({ state }: JsonObject, wanted: string): void {
  if (state !== wanted) throw new Declined(409, `it is ${text(state)}`);
}
