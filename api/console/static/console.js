// The script of the pages. It asks the authenticator, and shows what is signed; what it
// sends is checked by the ledger and by every verifier after it.
"use strict";

const at = "/console/";
const $ = (id) => document.getElementById(id);

const toBytes = (text) => Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (c) => c.charCodeAt(0));
const toText = (buffer) => btoa(String.fromCharCode(...new Uint8Array(buffer))).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
const toHex = (buffer) => Array.from(new Uint8Array(buffer), (b) => b.toString(16).padStart(2, "0")).join("");

async function post(path, body) {
  const r = await fetch(at + path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body), credentials: "same-origin" });
  let answer = {};
  try { answer = await r.json(); } catch { /* no JSON: a proxy answered */ }
  if (!r.ok) {
    const err = new Error(answer.message || "The server answered " + r.status + ".");
    err.kind = answer.kind || "";
    throw err;
  }
  return answer;
}

function say(kind, text) {
  const p = document.createElement("p");
  p.className = "note " + kind;
  p.textContent = text;
  $("outcome").replaceChildren(p);
}

function sayError(err) {
  if (err.name === "NotAllowedError") {
    say("warn", "The authenticator gave no answer: it was cancelled, took too long, or has no such passkey. Nothing was signed.");
  } else {
    say("bad", err.message + (err.kind ? " (" + err.kind + ")" : ""));
  }
}

function busy(form, yes) {
  for (const b of form.querySelectorAll("button")) b.disabled = yes;
}

// answerTo has a passkey sign.
async function answerTo(asked, challenge) {
  const got = await navigator.credentials.get({
    publicKey: {
      challenge, rpId: asked.party, userVerification: "required", timeout: 300000,
      allowCredentials: asked.credentials.map((id) => ({ type: "public-key", id: toBytes(id) })),
    },
  });
  return {
    nonce: asked.nonce, credentialId: toText(got.rawId), authenticatorData: toText(got.response.authenticatorData),
    clientDataJSON: toText(got.response.clientDataJSON), signature: toText(got.response.signature),
  };
}

const digest = (text) => crypto.subtle.digest("SHA-256", new TextEncoder().encode(text));

// approve asks for the approval, has the authenticator sign it, and hands it in. The
// challenge is made here, of the very text that the page shows.
async function approve(form, decision) {
  const subject = $("subject").dataset;
  const asked = await post("ask", {
    as: $("as").value, decision, repository: subject.repository || "", change: subject.change || "", head: subject.head || "", plan: subject.plan || "",
    environments: Array.from(form.querySelectorAll("[name=environment]:checked"), (b) => b.value), comment: $("comment").value.trim(),
  });
  const challenge = await digest(asked.presented);
  show(asked.presented, toHex(challenge));
  say("", "Your authenticator is asking you now.");
  const logged = await post("answer", await answerTo(asked, challenge));
  const word = { approved: "Approved", rejected: "Rejected", withdrawn: "Taken back" }[decision];
  // The page is loaded again, so that all of it says what is so now.
  keep("said", {
    page: location.href, text: word + ". It is entry " + logged.index + " of the log, with assurance " + logged.assurance + ".",
    presented: asked.presented, challenge: toHex(challenge),
  });
  location.reload();
}

function keep(name, value) {
  try { sessionStorage.setItem(name, JSON.stringify(value)); } catch { /* private window */ }
}

// recall shows what came out before the page was loaded again.
function recall() {
  let said = null;
  try {
    said = JSON.parse(sessionStorage.getItem("said"));
    sessionStorage.removeItem("said");
  } catch { /* private window */ }
  if (!said || said.page !== location.href || !$("outcome")) return;
  say("ok", said.text);
  show(said.presented, said.challenge);
}

// show is what is signed, and its challenge.
function show(presented, challenge) {
  $("presented").textContent = presented;
  $("challenge").textContent = challenge;
  $("signed").hidden = false;
}

async function register(form) {
  const o = await post("offer", { as: $("as").value, name: $("name").value.trim() });
  say("", "Your authenticator is asking you now.");
  const made = await navigator.credentials.create({
    publicKey: {
      rp: { id: o.party, name: "countersign · " + o.log }, user: { id: toBytes(o.user), name: o.person, displayName: o.person },
      challenge: toBytes(o.challenge), pubKeyCredParams: [{ type: "public-key", alg: -7 }, { type: "public-key", alg: -8 }],
      authenticatorSelection: { userVerification: "required", residentKey: "preferred" }, attestation: "direct",
      excludeCredentials: (o.exclude || []).map((id) => ({ type: "public-key", id: toBytes(id) })),
    },
  });
  const r = made.response;
  const out = await post("register", {
    nonce: o.nonce, credentialId: toText(made.rawId), publicKey: toText(r.getPublicKey()), authenticatorData: toText(r.getAuthenticatorData()),
    clientDataJSON: toText(r.clientDataJSON), attestationObject: toText(r.attestationObject),
  });
  say("ok", "The passkey is made. It counts once the owners have published it.");
  hand(out);
  const e = $("endorse");
  e.hidden = !out.endorse;
  e.onclick = async () => {
    e.disabled = true;
    try {
      hand(await post("endorse", await answerTo(out.endorse, await digest(out.endorse.presented))));
      say("ok", "Signed. It proves as much as the passkey that signed it, once the owners have published it.");
      e.hidden = true;
    } catch (err) {
      sayError(err);
    }
    e.disabled = false;
  };
}

// hand shows what the owners are given.
function hand(out) {
  $("stanza").textContent = out.stanza;
  $("keyid").textContent = out.keyId;
  $("made").hidden = false;
}

function attend(form, act) {
  busy(form, false);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    busy(form, true);
    try {
      if (!window.PublicKeyCredential) throw new Error("This browser has no passkeys.");
      await act(form, event.submitter ? event.submitter.value : "");
    } catch (err) {
      sayError(err);
    }
    busy(form, false);
  });
}

// Who looks is remembered by this browser alone, and is a convenience: what counts is
// whose passkey signs.
const who = $("as");
if (who) {
  who.addEventListener("change", () => {
    try { localStorage.setItem("as", who.value); } catch { /* private window */ }
    $("who").submit();
  });
  try {
    const known = localStorage.getItem("as");
    const asked = new URLSearchParams(location.search).has("as");
    if (!who.value && !asked && known && Array.from(who.options).some((o) => o.value === known)) {
      who.value = known;
      $("who").submit();
    }
  } catch { /* private window */ }
}
recall();
if ($("approval")) attend($("approval"), approve);
if ($("register")) attend($("register"), register);
if ($("copy")) $("copy").addEventListener("click", () => navigator.clipboard.writeText($("stanza").textContent));
