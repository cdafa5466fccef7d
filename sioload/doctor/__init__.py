"""`sioload doctor`: what a server is like before load is put on it."""

from sioload.doctor.diagnosis import Diagnosis, Fault
from sioload.doctor.examination import Examination

__all__ = ["Diagnosis", "Examination", "Fault"]
