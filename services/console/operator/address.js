// Where in the console a tenant's page is.

export const pageOf = (name) => `#tenants/${encodeURIComponent(name)}`;
