// The page: lists the cars, books one, and cancels it again.

import * as api from "./api.js";

const $ = (id) => document.getElementById(id);

function element(tag, text, ...children) {
  const node = document.createElement(tag);
  node.textContent = text;
  node.append(...children);
  return node;
}

const say = (text) => { $("message").textContent = text; };

// Runs an action and says how it went, in the words of the API when it refuses.
async function attempt(action) {
  try {
    say(await action());
  } catch (error) {
    say(error.message);
  }
}

function onSubmit(id, action) {
  $(id).addEventListener("submit", (event) => {
    event.preventDefault();
    attempt(() => action(Object.fromEntries(new FormData(event.target))));
  });
}

async function listCars() {
  for (const car of await api.cars()) {
    $("cars").append(element("li", `${car.name}, ${car.seats} seats, € ${car.price_per_day} a day`));
    $("book").elements.car_id.append(new Option(car.name, car.id));
  }
  return "";
}

function showBooking(booking) {
  const cancel = element("button", "Cancel");
  const item = element("li", `${booking.car_id}: ${booking.from} to ${booking.to}, € ${booking.price} `, cancel);
  cancel.addEventListener("click", () => attempt(async () => {
    await api.cancel(booking.id);
    item.remove();
    return "Cancelled.";
  }));
  $("bookings").append(item);
}

onSubmit("login", async (form) => {
  await api.logIn(form);
  $("login").hidden = true;
  return `Welcome, ${form.user}.`;
});

onSubmit("book", async (form) => {
  showBooking(await api.book(form));
  return "Booked.";
});

attempt(listCars);
