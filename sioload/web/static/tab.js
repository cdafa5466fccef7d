// In Locust's tab "Socket.IO": links to the chart page and the downloads, above the table that Locust draws.
(function () {
  "use strict";
  var LINKS = [
    ["./sioload/", "Charts"],
    ["./sioload/report.html", "HTML report"],
    ["./sioload/report.json", "JSON"],
    ["./sioload/events.csv", "CSV"],
    ["./sioload/sioload.hlog", ".hlog"],
  ];
  var nav = document.createElement("nav");
  nav.id = "sioload-links";
  nav.setAttribute("aria-label", "Socket.IO charts and downloads");
  LINKS.forEach(function (link) {
    var a = document.createElement("a");
    a.href = link[0];
    a.textContent = link[1];
    nav.appendChild(a);
  });
  var style = document.createElement("style");
  style.textContent =
    "#sioload-links{display:flex;flex-wrap:wrap;gap:.5rem 1.25rem;margin:0 0 1rem}" +
    "#sioload-links a{color:inherit;font-family:Roboto,Helvetica,Arial,sans-serif}" +
    "#sioload-links+* th,#sioload-links+* td{white-space:nowrap;padding:7px 12px}" +
    "#sioload-links+* :is(th,td):nth-child(2){white-space:normal;overflow-wrap:anywhere;min-width:150px}" +
    "#sioload-links+* :is(th,td):last-child{white-space:normal;overflow-wrap:anywhere;min-width:300px}" +
    "#sioload-links+* :is(th,td):nth-child(n+3):nth-child(-n+10){text-align:right;font-variant-numeric:tabular-nums}";
  document.head.appendChild(style);
  function place() {
    var tab = Array.from(document.querySelectorAll('[role="tab"]')).find(function (one) {
      return one.textContent === "Socket.IO";
    });
    var table = document.querySelector("main table");
    if (tab && table && tab.getAttribute("aria-selected") === "true") {
      var box = table.parentElement;
      if (nav.nextSibling !== box) box.parentElement.insertBefore(nav, box);
    } else if (nav.isConnected) {
      nav.remove();
    }
  }
  var watched = { childList: true, subtree: true, attributes: true, attributeFilter: ["aria-selected"] };
  new MutationObserver(place).observe(document.getElementById("root"), watched);
  place();
})();
