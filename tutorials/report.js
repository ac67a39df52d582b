// The page does without: keys for the enlarged figure, and contents that close when one has chosen.
const contents = document.querySelector(".contents details");
const wide = matchMedia("(min-width: 70rem)");
const large = () => document.querySelector("figure:target");

function arrange() {
  contents.open = wide.matches;
}
arrange();
wide.addEventListener("change", arrange);
contents.addEventListener("click", event => {
  if (event.target.closest("a") && !wide.matches) contents.open = false;
});

addEventListener("keydown", event => {
  if (event.altKey || event.ctrlKey || event.metaKey || !large()) return;
  const links = { ArrowRight: "[rel=next]", ArrowLeft: "[rel=prev]", Escape: ".close" };
  const link = links[event.key] && large().querySelector(links[event.key]);
  if (!link) return;
  event.preventDefault();
  link.click();
});

// One step back leads to the page as it was, however many figures one has looked at.
let opened = false;
addEventListener("click", event => {
  if (event.target.closest(".open")) opened = true;
  const link = event.target.closest("figure:target .steps a");
  if (!link) return;
  event.preventDefault();
  if (!link.classList.contains("close")) {
    location.replace(link.hash);
    return;
  }
  const place = document.querySelector(link.hash);
  const show = () => {
    place.scrollIntoView({ block: "nearest" });
    place.querySelector("a").focus({ preventScroll: true });
  };
  addEventListener("hashchange", show, { once: true });
  if (opened) history.back();
  else location.replace(link.hash);
  opened = false;
});
