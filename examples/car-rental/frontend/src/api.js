// The calls to the API. Where it lives is written into the page when the site is built.

const base = (name) => document.querySelector(`meta[name="${name}"]`).content.replace(/\/$/, "");

let token = null; // lives as long as the page: nothing is left behind in the browser

async function send(method, url, form) {
  const headers = {};
  if (form) headers["Content-Type"] = "application/json";
  if (token) headers["Authorization"] = `Bearer ${token}`;
  const response = await fetch(url, { method, headers, body: form && JSON.stringify(form) });
  const content = response.status === 204 ? null : await response.json();
  if (!response.ok) throw new Error(content.error);
  return content;
}

const call = (method, path, form) => send(method, base("api-base") + path, form);

export const cars = async () => (await call("GET", "/cars")).cars;
export const book = (form) => call("POST", "/bookings", form);
export const cancel = (id) => call("DELETE", `/bookings/${encodeURIComponent(id)}`);

export async function logIn(form) {
  const answer = await send("POST", `${base("login-base") || base("api-base")}/login`, form);
  token = answer.token;
}
