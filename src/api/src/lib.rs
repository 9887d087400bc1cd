//! The types of Egret's custom resources as users write them, and the generator of deploy/crds.
