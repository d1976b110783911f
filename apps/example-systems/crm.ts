import type { JsonObject } from '../../domain/json';
import { add, Declined, entry, text } from './operation';
import type { System } from './operation';

interface CrmState {
  readonly contacts: Record<string, JsonObject>;
  readonly leads: Record<string, JsonObject>;
}

export const crm: System<CrmState> = {
  first: {
    contacts: {
      'C-42': {
        contact_id: 'C-42',
        name: 'Ada Example',
        email: 'ada@customer.example',
        phone: '+41 44 000 00 42',
      },
      'C-43': { contact_id: 'C-43', name: 'Ben Example', email: 'ben@customer.example' },
    },
    leads: {},
  },
  operations: {
    listContacts: ({ contacts }) => ({ status: 200, body: Object.values(contacts) }),
    readContact: ({ contacts }, { path }) => ({ status: 200, body: entry(contacts, path.contact_id) }),
    updateContact: ({ contacts }, { path, body }) => {
      const contact = entry(contacts, path.contact_id);
      return { status: 200, body: (contacts[text(contact.contact_id)] = { ...contact, ...body }) };
    },
    deleteContact: ({ contacts }, { path }) => {
      const contact = entry(contacts, path.contact_id);
      // eslint-disable-next-line @typescript-eslint/no-dynamic-delete -- its own entries, by an id that was found there
      delete contacts[text(contact.contact_id)];
      return { status: 200, body: contact };
    },
    listLeads: ({ leads }) => ({ status: 200, body: Object.values(leads) }),
    readLead: ({ leads }, { path }) => ({ status: 200, body: entry(leads, path.lead_id) }),
    createLead: ({ leads }, { body }) => ({
      status: 201,
      body: add(leads, text(body.lead_id), { ...body, state: 'open' }),
    }),
    closeLead: ({ leads }, { path, body }) => {
      const lead = entry(leads, path.lead_id);
      if (lead.state !== 'open') throw new Declined(409, 'it is closed');
      return { status: 200, body: (leads[text(lead.lead_id)] = { ...lead, ...body, state: 'closed' }) };
    },
  },
};
